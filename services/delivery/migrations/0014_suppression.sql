-- Addresses that an account is not to write to for a while: their server said that they do not exist (ADR 35). By partition of the
-- account (promise 5).
--
-- address_key: keyed hash of account and address; no address is kept. refusals: how often it was refused when it was tried.
CREATE TABLE suppression (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    address_key bytea NOT NULL,
    refusals integer NOT NULL,
    status text NOT NULL,
    until_at timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, address_key)
);
CREATE INDEX suppression_until ON suppression (partition, until_at);
