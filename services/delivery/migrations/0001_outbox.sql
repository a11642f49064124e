-- Facts of this service on their way to the bus; see petitbleu_kit.outbox.

CREATE TABLE outbox (
    partition smallint NOT NULL,
    event_id bigint NOT NULL,
    subject text NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (partition, event_id)
);
CREATE INDEX outbox_unpublished ON outbox (partition, created_at) WHERE published_at IS NULL;
CREATE TABLE bus_stream (name text PRIMARY KEY, created_at text NOT NULL);
