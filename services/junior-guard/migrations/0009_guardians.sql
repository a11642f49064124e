-- How somebody becomes a guardian, and is one no more, by what guardians agree on.

-- partition: of the child. invitee_hash: keyed hash of the address invited, the same for all children; sealed: the address, under the child's seal.
CREATE TABLE guardian_invitation (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    invitation_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    invited_by bigint NOT NULL,
    invitee_hash bytea NOT NULL,
    sealed bytea NOT NULL,
    ends_at timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, invitation_id),
    UNIQUE (partition, account_id, invitee_hash)
);
CREATE INDEX guardian_invitation_of ON guardian_invitation (invitee_hash);
CREATE INDEX guardian_invitation_over ON guardian_invitation (ends_at);

-- A guardian is to be one no more: who agrees. It is done once the guardian and one other do.
CREATE TABLE guardian_leaving (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    guardian_account_id bigint NOT NULL,
    agreed_by bigint NOT NULL,
    agreed_at timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, guardian_account_id, agreed_by)
);
