-- Policies of other domains for TLS (MTA-STS, RFC 8461 §5.1), kept so that nobody who breaks in between takes them away. One row a domain that
-- has announced one; small, and without people's data.
CREATE TABLE peer_sts_policy (
    domain text COLLATE "C" PRIMARY KEY,
    policy_id text NOT NULL,
    mode text NOT NULL,
    mx text[] NOT NULL,
    max_age integer NOT NULL,
    expires_at timestamptz NOT NULL
);
