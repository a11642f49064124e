-- Secrets of bounce tokens (ADR 37). Small and global: whole on every node of a distributed engine, so it has no partition.
CREATE TABLE bounce_key (
    key_no integer PRIMARY KEY,
    -- 32 octets, sealed (AES-256-GCM) under delivery's key; the row is destroyed once no token of it counts
    secret bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
