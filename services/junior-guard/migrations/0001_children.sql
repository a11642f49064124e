-- Children, their guardians, the correspondents they may hear from, and every decision with who took it.
--
-- `partition` is that of the child's account and comes first in every key, so that one child's rows lie together.
-- No address is in clear: `address_hash` (HMAC-SHA-256 under a key that is not in the database) finds a correspondent,
-- `sealed` (AES-256-GCM, bound to the child) lets a guardian read the address later.

-- A fingerprint of the service's key. With another key every known correspondent would look unknown, so start-up refuses it.
CREATE TABLE key_check (
    key_id smallint PRIMARY KEY CHECK (key_id = 1),
    fingerprint bytea NOT NULL
);

-- A guarded account. An account without a row here is not known to be a child's: its mail is held all the same.
CREATE TABLE child (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id)
);

CREATE TABLE guardian (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    guardian_account_id bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, guardian_account_id)
);

-- Whom a child may hear from. approved_by: "registration" or "operator"; later a guardian's account.
CREATE TABLE correspondent (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    address_hash bytea NOT NULL,
    sealed bytea NOT NULL,
    approved_by text NOT NULL,
    approved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, address_hash)
);

-- What was decided on each message, and why. verdict: 1 deliver, 2 hold, 3 destroy. A decision by a person is final;
-- one by rule (decided_by "rule") is made anew whenever delivery asks again.
CREATE TABLE decision (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    accepted_id uuid NOT NULL,
    verdict smallint NOT NULL CHECK (verdict BETWEEN 1 AND 3),
    reason text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, accepted_id)
);

-- Who changed what: append-only, kept apart from what it speaks of. Ids and codes only.
CREATE TABLE audit (
    partition smallint NOT NULL,
    audit_id bigint NOT NULL,
    account_id bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, audit_id)
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
