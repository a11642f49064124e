-- The directory: who is hosted here and where each address leads. These tables are small, read by every mail and
-- written by people: on a distributed engine they are reference tables, whole on every node (promise 5).
-- Comparisons are by octet (COLLATE "C"): every address stored is already canonical.

CREATE TABLE tenant (
    tenant_id bigint PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Steps of setting a tenant up that are done, so that a repeated command does not do them twice.
CREATE TABLE tenant_mark (
    tenant_id bigint NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE domain (
    domain_id bigint PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL UNIQUE,
    catch_all_account_id bigint,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What routing must know of an account. state: 0 pending (its address is reserved and invisible until store, and
-- junior-guard for a child, know the account), 1 active, 2 disabled, 3 closing (its erasure is under way).
CREATE TABLE account (
    account_id bigint PRIMARY KEY,
    partition smallint NOT NULL,
    tenant_id bigint NOT NULL,
    domain_id bigint NOT NULL,
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 3),
    guarded boolean NOT NULL,
    administers boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX account_of_domain ON account (domain_id, account_id);
CREATE INDEX account_administrator ON account (tenant_id, account_id) WHERE administers;
-- What a crash left half done is found by these few rows.
CREATE INDEX account_unfinished ON account (state, changed_at) WHERE state IN (0, 3);

-- An address leads to one account, or to an alias (an alias with several members is a group).
CREATE TABLE address (
    address text COLLATE "C" PRIMARY KEY,
    domain_id bigint NOT NULL,
    account_id bigint,
    alias_id bigint,
    main boolean NOT NULL DEFAULT false,
    CHECK (num_nonnulls(account_id, alias_id) = 1)
);
CREATE INDEX address_of_account ON address (account_id) WHERE account_id IS NOT NULL;
CREATE UNIQUE INDEX address_of_alias ON address (alias_id) WHERE alias_id IS NOT NULL;

CREATE TABLE alias_member (
    alias_id bigint NOT NULL,
    member text COLLATE "C" NOT NULL,
    PRIMARY KEY (alias_id, member)
);
CREATE INDEX alias_member_by_member ON alias_member (member);

-- The address of a closed account is given to nobody else. Only its SHA-256 stays, so that the directory no longer
-- names a person who left.
CREATE TABLE retired_address (
    digest bytea PRIMARY KEY,
    retired_at timestamptz NOT NULL DEFAULT now()
);
