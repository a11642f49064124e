-- Uploads: what a person sent before any message refers to it (RFC 8620 §6.1), kept for some days.
--
-- A small one is sealed in its row, a larger one is an object of its own in S3 (octets then says how long it is there): neither
-- the ring nor a segment knows of uploads, so that one that is let go of leaves no dead space behind it.
-- upload_id rises with time (Unix milliseconds and 21 random bits): in the order of the key an account's oldest comes first.
-- sealed_key: the key of the blob under the account's key, so an upload ends with that key.
CREATE TABLE upload (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    upload_id bigint NOT NULL,
    size bigint NOT NULL,
    octets bigint NOT NULL,
    blob_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sealed_key bytea NOT NULL,
    body bytea,
    PRIMARY KEY (partition, account_id, upload_id)
) WITH (toast_tuple_target = 8160);
-- Sealed octets do not compress: PostgreSQL need not try.
ALTER TABLE upload ALTER COLUMN body SET STORAGE EXTERNAL;
-- By ranges of pages, next to nothing a row: only the sweep looks by time.
CREATE INDEX upload_created ON upload USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
