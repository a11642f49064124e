-- Word for guardians that was not sent yet, and when each was last written to.

-- partition: of the guardian's account, not of the child's. kind: 1 waits, 2 a newcomer was let in, 3 the child added, 4 the child asks,
-- 5 waits still. sealed: the address, under the child's seal. letter: the mail that it goes in, once that is begun.
CREATE TABLE news (
    partition smallint NOT NULL,
    guardian_account_id bigint NOT NULL,
    account_id bigint NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 5),
    address_hash bytea NOT NULL,
    authenticated boolean NOT NULL,
    sealed bytea NOT NULL,
    since timestamptz NOT NULL,
    letter bigint,
    PRIMARY KEY (partition, guardian_account_id, account_id, kind, address_hash, authenticated)
);
CREATE INDEX news_unsent ON news (since) WHERE letter IS NULL;

-- A mail to a guardian that is begun and not yet known to be durable has its number in `letter`; due_at is when it is tried (again).
CREATE TABLE bell (
    partition smallint NOT NULL,
    guardian_account_id bigint NOT NULL,
    rung_at timestamptz NOT NULL,
    letter bigint,
    due_at timestamptz,
    PRIMARY KEY (partition, guardian_account_id)
);
CREATE INDEX bell_due ON bell (due_at) WHERE letter IS NOT NULL;

ALTER TABLE sender ADD COLUMN reminded boolean NOT NULL DEFAULT false;
