-- Rules of mailboxes: Sieve scripts (RFC 5228), the answer while the owner is away (RFC 8621 §8), and what rules remember.
--
-- `partition` is that of the account. Names, scripts and texts name people: they are sealed under keys that derive from delivery's key file.

-- One row for each account that has or had a rule. Its lock orders all changes of the account's rules, and `modseq` counts them: whoever
-- remembers a compiled script need only ask whether it is still this number.
CREATE TABLE script_book (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    modseq bigint NOT NULL,
    -- Last number given to a script or to a content; never given twice.
    last_id bigint NOT NULL,
    -- The script that is evaluated, 0 for none.
    active_id bigint NOT NULL,
    vacation_modseq bigint NOT NULL,
    vacation_on boolean NOT NULL,
    vacation_sealed bytea,
    PRIMARY KEY (partition, account_id)
);

CREATE TABLE script (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    script_id bigint NOT NULL,
    content_id bigint NOT NULL,
    octets integer NOT NULL,
    name_sealed bytea NOT NULL,
    content_sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id, script_id)
);

-- What rules remember, by keyed hashes: who was answered (RFC 5230 §4.2), which ids were seen (RFC 7352 §3), what was sent on already.
-- `accepted_id` is the message for which it is remembered, so that the same message evaluated again, after a crash, finds what it wrote.
CREATE TABLE rule_memory (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    kind smallint NOT NULL,
    memory_key bytea NOT NULL,
    accepted_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, kind, memory_key)
);
CREATE INDEX rule_memory_expiry ON rule_memory (partition, expires_at);
