-- How many recipients an account, and its tenant, were permitted lately (ADR 29). By partition of the account (promise 5).
--
-- hour: recipients by five minutes, that of hour_slot first; day: the same by hours. Slots are counted from the Unix epoch.
-- recent: the keys of the latest messages, 16 octets each, the newest last: one that comes again is not counted again.
CREATE TABLE permit_account (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    hour_slot bigint NOT NULL,
    hour integer[] NOT NULL,
    day_slot bigint NOT NULL,
    day integer[] NOT NULL,
    recent bytea NOT NULL,
    PRIMARY KEY (partition, account_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- A tenant's, in shares that are added up, so that not all its people wait for one row. `partition` is that of the tenant's id.
CREATE TABLE permit_tenant (
    partition smallint NOT NULL,
    tenant_id bigint NOT NULL,
    share smallint NOT NULL,
    hour_slot bigint NOT NULL,
    hour integer[] NOT NULL,
    day_slot bigint NOT NULL,
    day integer[] NOT NULL,
    PRIMARY KEY (partition, tenant_id, share)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
