-- Levels, and what each party says of a correspondent.
--
-- `voice` is what is true: one row a party and subject, so that a guardian's refusal stands beside another's approval and outweighs it.
-- `standing` is what follows from all voices, groups and guardians for one address: the one row that a check reads. It is written in the
-- transaction that changes any of them, under the lock of the child's row.
-- `correspondent` is what the version before writes: its rows become voices as they come, and nothing else reads them any more.

ALTER TABLE child
    ADD COLUMN level smallint NOT NULL DEFAULT 2 CHECK (level BETWEEN 1 AND 4),
    ADD COLUMN language text NOT NULL DEFAULT '',
    ADD COLUMN birth_year smallint,
    ADD COLUMN birth_month smallint CHECK (birth_month BETWEEN 1 AND 12);

-- A guardian's address is family for as long as they are a guardian. NULL for those registered before; they have a voice of kind 6.
ALTER TABLE guardian ADD COLUMN address_hash bytea;

-- An address that somebody has a voice about, or that is a member of a group. `skeleton_hash` is equal for those that look alike.
CREATE TABLE address (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    address_hash bytea NOT NULL,
    skeleton_hash bytea,
    sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id, address_hash)
);

-- subject: an address_hash (32 octets) or a group's id (8). party: a guardian's account, the child's own, or 0 (operator, registration).
-- kind: 1 approved, 2 refused, 3 blocked, 4 added by the child, 5 asked for by the child, 6 family by registration.
CREATE TABLE voice (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    subject bytea NOT NULL,
    party bigint NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 6),
    ends_at timestamptz,
    said_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, subject, party)
);

-- A group of one child's correspondents, approved as a whole. kind: 1 family, 2 class. Its name is sealed.
CREATE TABLE circle (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    circle_id bigint NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 2),
    sealed_name bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, circle_id)
);

CREATE TABLE circle_member (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    circle_id bigint NOT NULL,
    address_hash bytea NOT NULL,
    PRIMARY KEY (partition, account_id, circle_id, address_hash)
);

-- Until when an address is family, approved or in an approved group: NULL for not at all, 9999-01-01 for no end.
CREATE TABLE standing (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    address_hash bytea NOT NULL,
    skeleton_hash bytea,
    family_until timestamptz,
    approved_until timestamptz,
    grouped_until timestamptz,
    is_added boolean NOT NULL DEFAULT false,
    is_refused boolean NOT NULL DEFAULT false,
    PRIMARY KEY (partition, account_id, address_hash)
);
CREATE INDEX standing_look_alikes ON standing (partition, account_id, skeleton_hash);

CREATE FUNCTION take_correspondent(c correspondent) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO address (partition, account_id, address_hash, sealed)
    VALUES (c.partition, c.account_id, c.address_hash, c.sealed) ON CONFLICT DO NOTHING;
    INSERT INTO voice (partition, account_id, subject, party, kind, said_at)
    VALUES (c.partition, c.account_id, c.address_hash, 0, CASE c.approved_by WHEN 'registration' THEN 6 ELSE 1 END, c.approved_at)
    ON CONFLICT DO NOTHING;
    INSERT INTO standing AS s (partition, account_id, address_hash, family_until, approved_until)
    VALUES (c.partition, c.account_id, c.address_hash, CASE c.approved_by WHEN 'registration' THEN timestamptz '9999-01-01 00:00Z' END,
            timestamptz '9999-01-01 00:00Z')
    ON CONFLICT (partition, account_id, address_hash)
    DO UPDATE SET approved_until = excluded.approved_until, family_until = coalesce(excluded.family_until, s.family_until);
END $$;

SELECT take_correspondent(c) FROM correspondent c;

CREATE FUNCTION correspondent_is_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM take_correspondent(NEW);
    RETURN NEW;
END $$;
CREATE TRIGGER correspondent_taken AFTER INSERT ON correspondent FOR EACH ROW EXECUTE FUNCTION correspondent_is_taken();
