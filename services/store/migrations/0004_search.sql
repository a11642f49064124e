-- The search index: which message has which words, as keyed terms (architecture: "search tells a thief nothing").
--
-- `terms` are 64-bit HMACs under a key of the account (petitbleu_text.terms), so a posting list of the GIN index belongs to one account
-- and a search costs what that account's words cost, whatever others have. How many words a message has can be seen, and which
-- messages of an account share one; not which words.
-- `state`: 0 all of it was read; 1 its octets could not be, so only its people and subject are found; 2 not even these.
-- `attached`: the texts that were read out of its attachments, sealed under the account's key, so that nobody reads a PDF again to
-- look for a phrase in it; null when there are none.
CREATE TABLE search_entry (
    partition smallint NOT NULL,
    state smallint NOT NULL,
    account_id bigint NOT NULL,
    message_id bigint NOT NULL,
    received_ms bigint NOT NULL,
    terms bigint[] NOT NULL,
    attached bytea,
    PRIMARY KEY (partition, account_id, message_id)
) WITH (toast_tuple_target = 128);
-- Hashes do not compress. Long rows keep little but the date beside the key, so that many fit a page.
ALTER TABLE search_entry ALTER COLUMN terms SET STORAGE EXTERNAL;
ALTER TABLE search_entry ALTER COLUMN attached SET STORAGE EXTERNAL;
-- New terms gather in a list that each search reads through, and go into the tree when there are this many KiB of them: in bulk they cost
-- a fraction. Who writes beyond it pays for it: that is the indexer.
CREATE INDEX search_entry_terms ON search_entry USING gin (terms) WITH (fastupdate = on, gin_pending_list_limit = 512);
-- The planner's idea of what a term finds comes from a sample; it should not be old.
ALTER TABLE search_entry SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- How far an account is indexed: every message up to this id is in search_entry or in search_again. Ids rise with the commits of an account,
-- so this one number is all that must be known, and filing writes nothing for the index. Deleting all rows of these three tables
-- builds the index anew.
CREATE TABLE search_account (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    indexed_through bigint NOT NULL,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (partition, account_id)
) WITH (fillfactor = 50);

-- Messages below that number that are not in search_entry: brought back after they were deleted, or missing when the index was checked.
CREATE TABLE search_again (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    message_id bigint NOT NULL,
    PRIMARY KEY (partition, account_id, message_id)
);
