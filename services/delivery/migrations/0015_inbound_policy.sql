-- What an operator says of a tenant's mail that comes in and was found wanting, instead of what the settings say (ADR 36). By partition
-- of the tenant's id (promise 5); a row for a tenant of which something was said, which is few.
--
-- reject, quarantine, listed, spam: as petitbleu.delivery.v1.InboundMeasure (1 nothing, 2 Junk, 3 refuse); 0: what the settings say.
-- junk_points, refuse_points: of the built-in scorer, in hundredths; 0 never, null what the settings say.
CREATE TABLE inbound_policy (
    partition smallint NOT NULL,
    tenant_id bigint NOT NULL,
    reject smallint NOT NULL DEFAULT 0,
    quarantine smallint NOT NULL DEFAULT 0,
    listed smallint NOT NULL DEFAULT 0,
    spam smallint NOT NULL DEFAULT 0,
    junk_points integer,
    refuse_points integer,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, tenant_id)
);
