-- Acceptance: what makes a message durable, and where its body is.
--
-- Every table that grows has `partition` (0-1023, for ever) first in its primary key, so that the same statements run on one
-- PostgreSQL and on Citus distributed by it. Each index here is paid for by every message: there are only those that the
-- hot path, the sweeps and the operator cannot do without.

-- Idempotency keys of the last 24 hours (RFC 1047: a commit whose 250 was lost). `key` is the first 16 octets of the
-- HMAC that ingest made, `partition` its first ten bits.
CREATE TABLE accept_key (
    partition smallint NOT NULL,
    key bytea NOT NULL,
    accepted_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, key)
);

-- Accepted messages. The id is the id of the blob; all ids of one Accept commit share a partition.
-- key_id names the key that wraps wrapped_key: a day (intake_key) or 0 for the operations key (a recipient is parked).
-- envelope: addresses and parameters, sealed under the blob's own key. from_hash: keyed, for Trace only.
CREATE TABLE accepted (
    partition smallint NOT NULL,
    accepted_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    size bigint NOT NULL,
    key_id integer NOT NULL,
    wrapped_key bytea NOT NULL,
    envelope bytea NOT NULL,
    from_hash bigint NOT NULL,
    PRIMARY KEY (partition, accepted_id)
);
-- By ranges of pages, so next to nothing a row: for Trace and for pruning, which look by time.
CREATE INDEX accepted_received ON accepted USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
-- Few: only mail with a recipient that is or was parked.
CREATE INDEX accepted_under_operations_key ON accepted (partition, accepted_id) WHERE key_id = 0;

-- The recipient is the unit of outcome. outcome: as petitbleu.store.v1.Outcome (1 open, 2 filed, 3 held, 4 queued,
-- 5 discarded, 6 parked). next_attempt_at: while open, when the sweep publishes it again.
CREATE TABLE recipient (
    partition smallint NOT NULL,
    accepted_id uuid NOT NULL,
    recipient_no smallint NOT NULL,
    outcome smallint NOT NULL DEFAULT 1,
    attempts integer NOT NULL DEFAULT 0,
    tenant_id bigint NOT NULL,
    to_hash bigint NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    settled_at timestamptz,
    reason text,
    account_ids bigint[],
    PRIMARY KEY (partition, accepted_id, recipient_no)
) WITH (
    -- Each row is updated once, soon: room for the new version on the same page keeps writes together.
    fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02
);
-- In the order of time, so that inserts go to its right end.
CREATE INDEX recipient_open ON recipient (next_attempt_at) WHERE outcome = 1;
CREATE INDEX recipient_parked ON recipient (partition, accepted_id, recipient_no) WHERE outcome = 6;

-- The ring of hot tables: one is written, one is packed, the others are free and read. A blob's id names its table.
-- Bodies are compressed and encrypted already. Rows live minutes and end by TRUNCATE, so there is nothing to vacuum.
CREATE TABLE ring (
    slot smallint PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('written', 'sealed', 'free')),
    since timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ring_one_written ON ring (state) WHERE state = 'written';

DO $$
BEGIN
    FOR slot IN 0..7 LOOP
        EXECUTE format(
            'CREATE TABLE hot_%s (partition smallint NOT NULL, blob_id uuid NOT NULL, account_id bigint, body bytea NOT NULL, '
            'PRIMARY KEY (partition, blob_id)) '
            'WITH (toast_tuple_target = 8160, autovacuum_enabled = off, toast.autovacuum_enabled = off)',
            lpad(slot::text, 2, '0'));
        EXECUTE format('ALTER TABLE hot_%s ALTER COLUMN body SET STORAGE EXTERNAL', lpad(slot::text, 2, '0'));
        INSERT INTO ring (slot, state) VALUES (slot, CASE slot WHEN 0 THEN 'written' ELSE 'free' END);
    END LOOP;
END $$;

-- Where a body is once it is in S3: within a segment, or (segment_id = blob_id) an object of its own.
-- account_ids: whose messages may refer to it, for finding dead space after recipients' rows are gone.
CREATE TABLE blob_place (
    partition smallint NOT NULL,
    blob_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    octet_offset bigint NOT NULL,
    octets bigint NOT NULL,
    account_ids bigint[],
    PRIMARY KEY (partition, blob_id)
);

-- Segments, announced before their PUT, so that what a crash leaves in S3 has a row and can be deleted.
-- state: writing, live, dead (nothing in it is referred to any more; deleted when back-ups that name it have expired).
-- blob_ids: what was put in it, instead of an index on blob_place that every message would pay for. digest: SHA-256.
-- An object of one body gets a row here when it is dead; the slot in its id tells it from a segment.
CREATE TABLE segment (
    partition smallint NOT NULL,
    segment_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('writing', 'live', 'dead')),
    octets bigint NOT NULL DEFAULT 0,
    live_octets bigint NOT NULL DEFAULT 0,
    blob_ids uuid[] NOT NULL DEFAULT '{}',
    digest bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    dead_at timestamptz,
    PRIMARY KEY (partition, segment_id)
);

-- Bodies put in S3 before they are accepted; announced before the PUT, deleted when not accepted within an hour.
CREATE TABLE staged (
    partition smallint NOT NULL,
    blob_id uuid NOT NULL,
    ready boolean NOT NULL DEFAULT false,
    size bigint NOT NULL DEFAULT 0,
    octets bigint NOT NULL DEFAULT 0,
    key_id integer NOT NULL,
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, blob_id)
);

-- Blobs to which a destroyed message or an erased account referred: compaction looks whether anybody still does.
CREATE TABLE blob_release (
    partition smallint NOT NULL,
    blob_id uuid NOT NULL,
    released_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, blob_id)
);

-- Keys of the service itself, wrapped by the operator's key-encryption key. Global and small.
-- intake_key: one a day; key_id counts days since 1970; wrapped_key is NULL once destroyed.
CREATE TABLE intake_key (
    key_id integer PRIMARY KEY CHECK (key_id > 0),
    wrapped_key bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz
);
CREATE TABLE ops_key (
    key_id integer PRIMARY KEY CHECK (key_id = 0),
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Who looked what up by Trace: keyed hashes, never an address.
CREATE TABLE audit (
    partition smallint NOT NULL,
    audit_id bigint NOT NULL,
    looked_at timestamptz NOT NULL DEFAULT now(),
    caller text NOT NULL,
    action text NOT NULL,
    from_hash bigint,
    to_hash bigint,
    since timestamptz,
    found integer,
    PRIMARY KEY (partition, audit_id)
);

-- The transactional outbox of the kit (petitbleu_kit.outbox.TABLE).
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
