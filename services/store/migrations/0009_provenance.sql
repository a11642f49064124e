-- Sending: where accepted mail comes from, what is known of its sender, and how queued mail stays readable.
--
-- origin: as petitbleu.store.v1.Origin (1 a stranger's server, 2 submitted, 3 a notice of ours, 4 a rule of somebody of ours).
-- submitter_*: NULL for a stranger's mail. spf, dkim, dmarc, arc: as petitbleu.store.v1.Verdict; 0: not checked.
-- hold_until: nobody routes it before (RFC 4865); its recipients' next_attempt_at says the same to the sweep.
-- queued_key: the blob's key once more, from the first recipient that is queued until none is: sealed by the submitter's account key, or
-- wrapped by the operations key where there is no submitter. So an intake key need not be kept for as long as mail waits for its destination,
-- and nobody sends the mail of an account that was closed.
-- All have constant defaults, so that no row is rewritten; those of strangers' mail cost nothing but their bit of the bitmap of nulls.
ALTER TABLE accepted
    ADD COLUMN origin smallint NOT NULL DEFAULT 1,
    ADD COLUMN spf smallint NOT NULL DEFAULT 0,
    ADD COLUMN dkim smallint NOT NULL DEFAULT 0,
    ADD COLUMN dmarc smallint NOT NULL DEFAULT 0,
    ADD COLUMN arc smallint NOT NULL DEFAULT 0,
    ADD COLUMN treatment smallint NOT NULL DEFAULT 0,
    ADD COLUMN spam_score integer NOT NULL DEFAULT 0,
    ADD COLUMN from_authenticated boolean NOT NULL DEFAULT false,
    ADD COLUMN envelope_authenticated boolean NOT NULL DEFAULT false,
    ADD COLUMN submitter_account_id bigint,
    ADD COLUMN submitter_tenant_id bigint,
    ADD COLUMN hold_until timestamptz,
    ADD COLUMN queued_key bytea;
-- Few: mail that waits in the outbound queue, and what left it in the last day; the oldest first, for what empties the column.
CREATE INDEX accepted_queued ON accepted (received_at) WHERE queued_key IS NOT NULL;
