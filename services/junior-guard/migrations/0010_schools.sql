-- Classes of schools. A class is a tenant's; each child in it has a copy as a group of its own (`circle`, with the class's id), which a guardian
-- approves or not. The copy has members only while it is approved: until then nobody of the class is anything to the child.

-- partition: of the class's id. sealed_name: under the class's seal.
CREATE TABLE school_class (
    partition smallint NOT NULL,
    class_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    sealed_name bytea NOT NULL,
    ends_at timestamptz NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, class_id)
);
CREATE INDEX school_class_of_tenant ON school_class (tenant_id);

-- sealed: the address, under the class's seal.
CREATE TABLE class_member (
    partition smallint NOT NULL,
    class_id bigint NOT NULL,
    account_id bigint NOT NULL,
    is_teacher boolean NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (partition, class_id, account_id)
);
CREATE INDEX class_member_teaches ON class_member (account_id) WHERE is_teacher;

-- When the school year of a class ends; NULL for a group that guardians made.
ALTER TABLE circle ADD COLUMN school_ends_at timestamptz;
ALTER TABLE circle_member ADD COLUMN is_teacher boolean NOT NULL DEFAULT false;

-- Until when an address is that of a teacher of an approved class. It counts only together with grouped_until, which the version before keeps too.
ALTER TABLE standing ADD COLUMN taught_until timestamptz;
