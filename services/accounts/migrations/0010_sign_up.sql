-- Accounts that people open themselves.

-- Whether anybody may open an account at a domain.
ALTER TABLE domain ADD COLUMN sign_up boolean NOT NULL DEFAULT false;

-- alike: SHA-256 of what an address looks like (the same for those that people take for one another), null until the service has worked it
-- out; chosen: by the person, who may have none that looks like another's, where an administrator may make any.
ALTER TABLE address ADD COLUMN alike bytea, ADD COLUMN chosen boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX address_chosen_alike ON address (alike) WHERE chosen;
CREATE INDEX address_alike ON address (alike);
CREATE INDEX address_unseen ON address (address) WHERE alike IS NULL;
ALTER TABLE retired_address ADD COLUMN alike bytea;
CREATE INDEX retired_address_alike ON retired_address (alike);

-- recovery_digest: SHA-256 of the recovery code, 128 random bits; credentials_changed_at: when all that was trusted before ended (a password
-- set by the code or by the operator); pending_child: {year, month, level} of a child that junior-guard does not know yet.
ALTER TABLE person ADD COLUMN recovery_digest bytea, ADD COLUMN credentials_changed_at timestamptz, ADD COLUMN pending_child jsonb;

-- Challenges that were answered, until they are over: none is good for two accounts.
CREATE TABLE spent_challenge (
    partition smallint NOT NULL,
    nonce bytea NOT NULL,
    ends_at timestamptz NOT NULL,
    PRIMARY KEY (partition, nonce)
);
CREATE INDEX spent_challenge_over ON spent_challenge (ends_at);
