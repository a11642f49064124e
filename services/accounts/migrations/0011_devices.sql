-- Browsers that people signed in from. digest: SHA-256 of 128 random bits that the browser keeps; trusted_at: from when on it counts as the
-- person's own: at once for the account's first, a day after it was first seen for any other.
CREATE TABLE device (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    digest bytea NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    trusted_at timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, digest)
);

-- Until then it may be somebody else's session: a password was just set anew, or the device is new. NULL for sessions of the version before.
ALTER TABLE session ADD COLUMN cooling_until timestamptz;
