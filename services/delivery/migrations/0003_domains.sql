-- DKIM keys and MTA-STS policies of hosted domains. Small tables that do not grow with mail: whole on every node of a
-- distributed engine, so they have no partition.

-- Tells the key under which private keys are sealed from another one, so that a lost file is noticed at start.
CREATE TABLE key_check (
    key_id smallint PRIMARY KEY CHECK (key_id = 1),
    fingerprint bytea NOT NULL
);

CREATE TABLE dkim_key (
    -- lower case, A-labels
    domain text NOT NULL,
    selector text NOT NULL,
    -- 1 rsa-sha256, 2 ed25519-sha256
    algorithm smallint NOT NULL,
    -- 1 made, 2 published, 3 active, 4 retiring, 5 retired
    state smallint NOT NULL,
    -- PKCS #8, sealed (AES-256-GCM); destroyed when the key is retired
    private_key bytea CHECK ((state = 5) = (private_key IS NULL)),
    -- p= of the record: SubjectPublicKeyInfo for RSA, the bare 32 octets for Ed25519 (RFC 8463 §4)
    public_key bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    -- when it came to its state
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, selector)
);
-- One key of a kind signs, and one waits: whatever processes do at the same time.
CREATE UNIQUE INDEX dkim_key_active ON dkim_key (domain, algorithm) WHERE state = 3;
CREATE UNIQUE INDEX dkim_key_next ON dkim_key (domain, algorithm) WHERE state IN (1, 2);
CREATE INDEX dkim_key_age ON dkim_key (state, since);

CREATE TABLE sts_policy (
    domain text PRIMARY KEY,
    -- 1 none, 2 testing, 3 enforce
    mode smallint NOT NULL,
    mx text[] NOT NULL,
    max_age integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
