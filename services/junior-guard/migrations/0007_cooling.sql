-- What a guardian asked for who may be somebody else (a password was just set anew, or a device is new), until it is done or cancelled.

-- sealed: the change; sealed_about: what guardians are told that it is about; both under the child's seal. subject: keyed hash of what it is
-- about, by which whatever else is done about the same finds it; digest: keyed hash of the whole, so that a repeat is the same.
CREATE TABLE pending_change (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    change_id bigint NOT NULL,
    guardian_account_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    kind text NOT NULL,
    subject bytea NOT NULL,
    digest bytea NOT NULL,
    sealed bytea NOT NULL,
    sealed_about bytea NOT NULL,
    asked_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, change_id),
    UNIQUE (partition, account_id, guardian_account_id, digest)
);
CREATE INDEX pending_change_due ON pending_change (due_at);

-- 6: a change waits
ALTER TABLE news DROP CONSTRAINT news_kind_check, ADD CONSTRAINT news_kind_check CHECK (kind BETWEEN 1 AND 6);
