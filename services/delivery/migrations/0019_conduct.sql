-- Outbound abuse (ADR 43). By partition of the account (promise 5).

-- Messages that a scanner took for spam as they were submitted.
ALTER TABLE conduct ADD COLUMN spam integer NOT NULL DEFAULT 0;

-- To whom accounts ever wrote: keyed hashes, no address; day is that of the first time.
CREATE TABLE correspondent (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    address_key bytea NOT NULL,
    day integer NOT NULL,
    PRIMARY KEY (partition, account_id, address_key)
);

-- What is done about an account now: a row for few. stage: 1 slowed, 2 suspended. told: the account and its administrators heard of it.
CREATE TABLE abuse_case (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    stage smallint NOT NULL,
    signs text[] NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT now(),
    until_at timestamptz NOT NULL,
    told boolean NOT NULL DEFAULT false,
    PRIMARY KEY (partition, account_id)
);
CREATE INDEX abuse_case_untold ON abuse_case (raised_at) WHERE NOT told;

-- What was ever done, and lifted (stage 0): the audit.
CREATE TABLE abuse_log (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    entry_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    stage smallint NOT NULL,
    signs text[] NOT NULL,
    figures text NOT NULL,
    logged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, entry_id)
);

-- Until then an account has few recipients an hour.
ALTER TABLE permit_terms ADD COLUMN slowed_until timestamptz;
