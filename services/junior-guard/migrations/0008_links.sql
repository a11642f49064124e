-- Links in what guardians are told: each is one guardian's, leads to one child, and is good once. It opens a page and decides nothing.

-- partition: of the guardian's account. digest: SHA-256 of the 128 bits in the link.
CREATE TABLE alert_link (
    partition smallint NOT NULL,
    guardian_account_id bigint NOT NULL,
    digest bytea NOT NULL,
    account_id bigint NOT NULL,
    ends_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (partition, guardian_account_id, digest)
);
CREATE INDEX alert_link_over ON alert_link (ends_at);
