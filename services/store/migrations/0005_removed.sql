-- What people deleted, kept some days so that it can be brought back (ADR 20). No ordinary read looks at these tables.
--
-- A message that is destroyed leaves `message` and every list of it, as ever; its row comes here, and its row of `message_content`
-- stays where it is, for nothing reads that one but by way of a row of `message`. Its row of `origin` gets state 3: destroyed as far
-- as filing is concerned, alive as far as its blob is.

-- Kept octets and messages are bounded; the state is raised by each change of what is kept.
ALTER TABLE account
    ADD COLUMN removed_octets bigint NOT NULL DEFAULT 0,
    ADD COLUMN removed_messages bigint NOT NULL DEFAULT 0,
    ADD COLUMN removed_state bigint NOT NULL DEFAULT 0;

-- mailbox_ids: where it was. with_mailbox: it went because a mailbox that it was in was destroyed.
CREATE TABLE removed_message (
    partition smallint NOT NULL,
    flags integer NOT NULL,
    with_mailbox boolean NOT NULL,
    account_id bigint NOT NULL,
    message_id bigint NOT NULL,
    thread_id bigint NOT NULL,
    received_ms bigint NOT NULL,
    sent_ms bigint NOT NULL,
    size bigint NOT NULL,
    removed_ms bigint NOT NULL,
    blob_id uuid NOT NULL,
    import_key uuid,
    mailbox_ids bigint[] NOT NULL,
    keywords bigint[],
    refs bigint[] NOT NULL,
    PRIMARY KEY (partition, account_id, message_id)
);
-- By ranges of pages, next to nothing a row: only the sweep looks by time.
CREATE INDEX removed_message_at ON removed_message USING brin (removed_ms) WITH (pages_per_range = 32, autosummarize = on);

-- members: messages that were in it and live on in other mailboxes, or were brought back before it.
CREATE TABLE removed_mailbox (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    parent_id bigint NOT NULL,
    sort_order integer NOT NULL,
    subscribed boolean NOT NULL,
    removed_ms bigint NOT NULL,
    role text NOT NULL,
    name_sealed bytea NOT NULL,
    members bigint[] NOT NULL,
    PRIMARY KEY (partition, account_id, mailbox_id)
);
CREATE INDEX removed_mailbox_at ON removed_mailbox USING brin (removed_ms) WITH (pages_per_range = 32, autosummarize = on);
