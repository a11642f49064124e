-- Push subscriptions (RFC 8620 §7.2), by partition of the account (promise 5).

-- credential_id: the session or app password with which it was made, 0 for the main password; it ends with that.
-- server_key: the public key that the client gave its push service (RFC 8292 §3.2); another one can post there no more.
-- code_due: the verification code is still to be posted; verified: the client has shown it.
-- told_modseq, told_last_id: how much of the account was told. What comes after is told late rather than never: nothing about
-- a change that is to be pushed is kept anywhere else, so neither a process nor a bus can lose it.
CREATE TABLE push_subscription (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    subscription_id bigint NOT NULL,
    credential_id bigint NOT NULL,
    device_client_id text NOT NULL,
    url text NOT NULL,
    -- both or none
    p256dh bytea,
    auth bytea,
    -- null for all
    types text[],
    expires_at timestamptz NOT NULL,
    server_key bytea NOT NULL,
    verification_code text NOT NULL,
    code_due boolean NOT NULL DEFAULT true,
    verified boolean NOT NULL DEFAULT false,
    told_modseq bigint NOT NULL,
    told_last_id bigint NOT NULL,
    failures int NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, subscription_id)
);
CREATE INDEX push_subscription_over ON push_subscription (expires_at);

-- Who posts: each of 32 slices of the partitions has one sender for some seconds. Global and small, as the directory is.
CREATE TABLE push_sender (holder text PRIMARY KEY, until timestamptz NOT NULL);
CREATE TABLE push_slice (
    slice smallint PRIMARY KEY CHECK (slice BETWEEN 0 AND 31),
    holder text,
    until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO push_slice (slice) SELECT generate_series(0, 31);
