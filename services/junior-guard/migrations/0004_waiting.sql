-- What waits for a child, by sender; decisions that are carried out later; limits and expiry.

ALTER TABLE child
    ADD COLUMN dropped bigint NOT NULL DEFAULT 0,
    ADD COLUMN expired bigint NOT NULL DEFAULT 0;

-- sender_hash: as address_hash, empty where there is no sender; NULL in rows of the version before. carry_after: when store is to be told
-- (again) of a person's decision, or of an expiry; NULL once it was, or when there is nothing to tell.
ALTER TABLE decision
    ADD COLUMN sender_hash bytea,
    ADD COLUMN authenticated boolean,
    ADD COLUMN size bigint NOT NULL DEFAULT 0,
    ADD COLUMN held_at timestamptz,
    ADD COLUMN carry_after timestamptz;
CREATE INDEX decision_waiting ON decision (partition, account_id, sender_hash) WHERE verdict = 2 AND decided_by = 'rule';
CREATE INDEX decision_old ON decision (coalesce(held_at, decided_at)) WHERE verdict = 2 AND decided_by = 'rule';
CREATE INDEX decision_to_carry ON decision (carry_after) WHERE carry_after IS NOT NULL;

-- Somebody whose mail waits or waited and who is shown to guardians. What is confirmed to be theirs and what is not are two.
CREATE TABLE sender (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    sender_hash bytea NOT NULL,
    authenticated boolean NOT NULL,
    sealed bytea NOT NULL,
    last_at timestamptz NOT NULL,
    decided_by bigint,
    decided_action smallint CHECK (decided_action BETWEEN 1 AND 4),
    PRIMARY KEY (partition, account_id, sender_hash, authenticated)
);
CREATE INDEX sender_old ON sender (last_at);
