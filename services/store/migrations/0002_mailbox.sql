-- Accounts, mailboxes, messages, threads and the change log.
--
-- Every table begins its keys with `partition` = partition_of_account(account_id), so that one account's rows lie together on one PostgreSQL
-- or on one shard of a distributed one. There are no foreign keys: the account row, locked first, is what keeps an account's rows true.
-- Times are Unix milliseconds (`*_ms`) where a protocol shows them to the millisecond, timestamptz where only the operator sees them.
-- In clear are ids, dates, sizes, flags and keyed hashes; names, keywords of a person's own, envelopes and structures are sealed under the account key.

-- One row an account: its counters are raised by one UPDATE at the start of every change, and that lock orders all changes of the account.
-- It is rewritten by every batch, so half of each page is left free for HOT updates.
CREATE TABLE account (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    guarded boolean NOT NULL,
    quota_octets bigint NOT NULL,
    used_octets bigint NOT NULL DEFAULT 0,
    messages bigint NOT NULL DEFAULT 0,
    modseq bigint NOT NULL,
    -- The change log reaches back to here; a client that is further behind starts anew.
    pruned_modseq bigint NOT NULL DEFAULT 0,
    -- Last id given to a message or mailbox, last uid given: ids and uids are never given twice.
    last_id bigint NOT NULL,
    last_uid bigint NOT NULL DEFAULT 0,
    -- UIDVALIDITY of a mailbox is this plus its id (RFC 9051 §2.3.1.1); raised when an account is restored from a back-up.
    uid_validity bigint NOT NULL,
    -- Null once the account is being erased: nothing under the key can be read from then on.
    wrapped_key bytea,
    PRIMARY KEY (partition, account_id)
) WITH (fillfactor = 50);

-- The standard mailboxes of every account have the fixed ids 1-6 (inbox, drafts, sent, trash, junk, archive), so filing looks none up.
CREATE TABLE mailbox (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    parent_id bigint NOT NULL,
    role text NOT NULL,
    sort_order integer NOT NULL,
    subscribed boolean NOT NULL,
    total bigint NOT NULL DEFAULT 0,
    unread bigint NOT NULL DEFAULT 0,
    threads bigint NOT NULL DEFAULT 0,
    unread_threads bigint NOT NULL DEFAULT 0,
    modseq bigint NOT NULL,
    name_hash bigint NOT NULL,
    name_sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id, mailbox_id)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX mailbox_name ON mailbox (partition, account_id, parent_id, name_hash);

-- From here on a table has one index, its key: PostgreSQL takes partition and account for independent, so that it expects one row of an
-- account wherever it looks, and of two indexes that begin with both it may pick the one that reads the whole account.

-- What queries look at; narrow, so that a search over a whole account reads few pages.
-- `flags` has a bit for each usual keyword and one for "has an attachment" (petitbleu_store.domain.keywords); `keywords` has keyed hashes of the others.
-- `refs` has the keyed hashes by which the message is threaded.
CREATE TABLE message (
    partition smallint NOT NULL,
    flags integer NOT NULL,
    account_id bigint NOT NULL,
    message_id bigint NOT NULL,
    thread_id bigint NOT NULL,
    received_ms bigint NOT NULL,
    sent_ms bigint NOT NULL,
    size bigint NOT NULL,
    modseq bigint NOT NULL,
    blob_id uuid NOT NULL,
    import_key uuid,
    mailbox_ids bigint[] NOT NULL,
    keywords bigint[],
    refs bigint[] NOT NULL,
    PRIMARY KEY (partition, account_id, message_id)
) WITH (fillfactor = 90);

-- What an account has been given, by where it came from: a blob id (of accepted mail that is its accepted id) or the key of an import.
-- Filing the same mail again is a no-op because of this key (architecture, promise 3); `recipients` are the envelope's recipients that it was filed for.
-- A row outlives its message while its recipient might still be open, so that filing it again does not bring it back: state 1 is
-- a message destroyed, state 2 held mail destroyed.
CREATE TABLE origin (
    partition smallint NOT NULL,
    state smallint NOT NULL,
    account_id bigint NOT NULL,
    origin_id uuid NOT NULL,
    message_id bigint NOT NULL,
    recipients integer[],
    gone_at timestamptz,
    PRIMARY KEY (partition, account_id, origin_id)
);
CREATE INDEX origin_gone ON origin (gone_at) WHERE gone_at IS NOT NULL;

-- The messages of threads, oldest first.
CREATE TABLE thread_message (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    thread_id bigint NOT NULL,
    received_ms bigint NOT NULL,
    message_id bigint NOT NULL,
    PRIMARY KEY (partition, account_id, thread_id, received_ms, message_id)
);

-- Envelope, structure, preview, prefix and the blob's key, sealed together under the account key; written once.
CREATE TABLE message_content (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    message_id bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id, message_id)
);
-- Sealed octets do not compress: PostgreSQL need not try.
ALTER TABLE message_content ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Which message is in which mailbox. The key alone answers "this mailbox, newest first, 50, one a thread": an index-only scan that
-- reads as many entries as are shown, whatever the mailbox holds. uids rise with every entry made in the account.
CREATE TABLE mailbox_message (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    received_ms bigint NOT NULL,
    message_id bigint NOT NULL,
    thread_id bigint NOT NULL,
    uid bigint NOT NULL,
    PRIMARY KEY (partition, account_id, mailbox_id, received_ms, message_id) INCLUDE (thread_id)
);
-- Rows are only ever added and removed: a page set all-visible soon stays so, and index-only scans stay index-only.
ALTER TABLE mailbox_message SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05);

-- A message joins the thread of any message of the account that shares a reference: a keyed hash of a message id and the base subject (RFC 8621 §3).
CREATE TABLE thread_ref (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    ref_hash bigint NOT NULL,
    thread_id bigint NOT NULL,
    PRIMARY KEY (partition, account_id, ref_hash)
);

-- What changed, one row an entity and step: no two entities of one kind share a modseq, so a client may ask for as few as one change.
-- A message's row tells of its thread too. op: see petitbleu_store.domain.change_log.
CREATE TABLE change_log (
    partition smallint NOT NULL,
    kind smallint NOT NULL,
    op smallint NOT NULL,
    account_id bigint NOT NULL,
    modseq bigint NOT NULL,
    entity_id bigint NOT NULL,
    thread_id bigint NOT NULL,
    PRIMARY KEY (partition, account_id, kind, modseq)
);

-- Names of keywords that have no flag of their own.
CREATE TABLE keyword (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    keyword_hash bigint NOT NULL,
    name_sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id, keyword_hash)
);

-- Mail for a guarded account that waits for a guardian's decision. No protocol reads this table.
CREATE TABLE held (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    accepted_id uuid NOT NULL,
    size bigint NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now(),
    sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id, accepted_id)
);

-- Accounts erased: replayed after a restore, before a door opens (architecture, promise 6).
CREATE TABLE erasure (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (partition, account_id)
);
