-- Mail that waits for other servers (ADR 24). `partition` is that of the accepted message's id.
--
-- No address is here: a recipient is its number in the envelope, which store keeps sealed. The domain that a unit goes to is in clear, since
-- everything that a queue does is done by destination.

-- One row a recipient, for as long as anybody might queue it again: a recipient that has a row is never queued twice.
-- state: 0 waits, 7 sent, 8 failed (as petitbleu.store.v1.Outcome). told: store has heard of it, and whoever is to be notified.
CREATE TABLE queue_recipient (
    partition smallint NOT NULL,
    accepted_id uuid NOT NULL,
    recipient_no smallint NOT NULL,
    account_id bigint NOT NULL,
    state smallint NOT NULL DEFAULT 0,
    told boolean NOT NULL DEFAULT false,
    code smallint NOT NULL DEFAULT 0,
    enhanced text NOT NULL DEFAULT '',
    host text NOT NULL DEFAULT '',
    answered_at timestamptz,
    PRIMARY KEY (partition, accepted_id, recipient_no)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- Few: answers between the commit that keeps them and the one that tells them.
CREATE INDEX queue_recipient_untold ON queue_recipient (answered_at) WHERE state <> 0 AND NOT told;
CREATE INDEX queue_recipient_told ON queue_recipient USING brin (answered_at) WITH (pages_per_range = 32, autosummarize = on);

-- One row a message and destination, for as long as a recipient of it waits. first_no tells apart the parts of a message with very many
-- recipients. worker: the process that has it in hand, null when nobody does.
CREATE TABLE queue_unit (
    partition smallint NOT NULL,
    accepted_id uuid NOT NULL,
    destination text COLLATE "C" NOT NULL,
    first_no smallint NOT NULL,
    recipients smallint[] NOT NULL,
    account_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    origin smallint NOT NULL,
    priority smallint NOT NULL,
    size bigint NOT NULL,
    accepted_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    warned boolean NOT NULL DEFAULT false,
    worker bigint,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (partition, accepted_id, destination, first_no)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX queue_unit_due ON queue_unit (next_attempt_at);
CREATE INDEX queue_unit_destination ON queue_unit (destination);

-- Processes that send, and when each was heard of last: what a process had in hand is anybody's once it is silent. Global and small.
CREATE TABLE queue_worker (
    worker_id bigint PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- What an operator said of destinations. Global and small.
CREATE TABLE queue_destination (
    destination text COLLATE "C" PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    route text NOT NULL DEFAULT ''
);
