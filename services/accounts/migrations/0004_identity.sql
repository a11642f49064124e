-- Identities that people write under (RFC 8621 §6), by partition of the account (promise 5).

-- modseq: state of an account's identities; last_id: the last id given, ids are never given twice; pruned_modseq: changes are told
-- from here on. There is no row before somebody looks: the identities that every address has are made then.
CREATE TABLE identity_book (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    modseq bigint NOT NULL DEFAULT 0,
    last_id bigint NOT NULL DEFAULT 0,
    pruned_modseq bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (partition, account_id)
);

-- gone: a row stays when its identity is destroyed, for that is its place in the log of changes; it keeps nothing of what it said but
-- the address, and that only where the identity was made for it (own), so that it is not made again.
CREATE TABLE identity (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    identity_id bigint NOT NULL,
    created_modseq bigint NOT NULL,
    modseq bigint NOT NULL,
    own boolean NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    email text NOT NULL,
    name text NOT NULL DEFAULT '',
    -- lists of {name, email}; null for none
    reply_to jsonb,
    bcc jsonb,
    text_signature text NOT NULL DEFAULT '',
    html_signature text NOT NULL DEFAULT '',
    PRIMARY KEY (partition, account_id, identity_id)
);
