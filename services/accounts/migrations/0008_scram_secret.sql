-- What salts of SCRAM are made of, for logins that exist and for others. It is made once, and is nobody's key: keys of services may be
-- changed, a salt must not. Whole on every node of a distributed engine.
CREATE TABLE server_secret (
    name text PRIMARY KEY,
    value bytea NOT NULL CHECK (octet_length(value) = 32)
);
