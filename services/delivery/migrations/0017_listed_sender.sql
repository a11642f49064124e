-- Whom people list as senders (ADR 38). Who they are is sealed, and found by a keyed hash that is another for each account. At most 1,000 an
-- account, so that a round need look for the few names of a message alone.
--
-- listing: as petitbleu.delivery.v1.SenderListing (1 allow, 2 block).
CREATE TABLE listed_sender (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    sender_hash bytea NOT NULL,
    listing smallint NOT NULL,
    sender_sealed bytea NOT NULL,
    listed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, sender_hash)
);

-- Whether the account lists anybody: a round, which reads this row for the rules anyhow, asks for senders of these accounts alone.
ALTER TABLE script_book ADD COLUMN lists_senders boolean NOT NULL DEFAULT false;
