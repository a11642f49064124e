-- Addresses from which mail leaves, where an operator names them, and how much of a new one's mail each provider may get (ADR 32).

-- Global and small. warm: it is old enough, or was said to be, to have no bounds.
CREATE TABLE source_address (
    address text COLLATE "C" PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now(),
    warm boolean NOT NULL
);

-- One row a new address and provider, in use for as long as the address is new. allowance: letters of a day.
CREATE TABLE source_warmth (
    -- of the provider
    partition smallint NOT NULL,
    address text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    -- of the counts
    day date NOT NULL,
    allowance integer NOT NULL,
    used integer NOT NULL DEFAULT 0,
    good integer NOT NULL DEFAULT 0,
    bad integer NOT NULL DEFAULT 0,
    shrunk_at timestamptz,
    PRIMARY KEY (partition, address, provider)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
