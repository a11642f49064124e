-- What grows with use, by partition of the account (promise 5).

CREATE TABLE person (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    display_name text NOT NULL,
    language text NOT NULL,
    quota_octets bigint NOT NULL CHECK (quota_octets >= 0),
    roles smallint[] NOT NULL,
    -- argon2id in PHC form; null while nobody may log in by password
    password_hash text,
    -- guardians of a child whose account is still pending: what the sweep tells junior-guard
    pending_guardians bigint[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id)
);

-- App passwords are 128 random bits, so a plain SHA-256 keeps them: there is nothing to guess.
CREATE TABLE app_password (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    app_password_id bigint NOT NULL,
    digest bytea NOT NULL,
    label text NOT NULL,
    -- protocols that it opens; empty opens all
    protocols text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    PRIMARY KEY (partition, account_id, app_password_id),
    UNIQUE (partition, account_id, digest)
);

-- Bearer sessions: the SHA-256 of a token of 256 random bits. The token names its partition.
CREATE TABLE session (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    session_id bigint NOT NULL,
    digest bytea NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    -- sliding: moves on with use, never beyond ends_at
    idle_ends_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, session_id),
    UNIQUE (partition, digest)
);
CREATE INDEX session_over ON session (idle_ends_at);
