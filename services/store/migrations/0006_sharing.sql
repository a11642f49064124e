-- Mailboxes that accounts of one tenant share with each other (RFC 8621 §2 myRights, RFC 9670), by the mailbox and the account that it is
-- shared with.
--
-- What a share gives is read from `share` in the owner's partition at every call of another, so that a share ended is ended.
-- `share_received` tells a person's session whose accounts to show; one transaction writes both. Neither tells anything of people.

-- Set with the account's first share, and never back: from then on the account's `message_before` is written.
ALTER TABLE account ADD COLUMN shared boolean NOT NULL DEFAULT false;

-- rights: bits, see petitbleu_store.domain.sharing. subscribed: the grantee wants to see it (RFC 8621 §2 isSubscribed is each person's own).
CREATE TABLE share (
    partition smallint NOT NULL,
    rights integer NOT NULL,
    subscribed boolean NOT NULL,
    account_id bigint NOT NULL,
    grantee_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    PRIMARY KEY (partition, account_id, grantee_id, mailbox_id)
);

-- The same by the grantee, in the grantee's partition: which accounts share anything with it.
CREATE TABLE share_received (
    partition smallint NOT NULL,
    grantee_id bigint NOT NULL,
    account_id bigint NOT NULL,
    PRIMARY KEY (partition, grantee_id, account_id)
);

-- Which mailboxes a grantee saw before a modseq of the owner: one row for each change of that. With `message_before`, which has the mailboxes
-- that a message was in before it moved or went, it tells what a grantee saw at any modseq that the change log reaches, and so what
-- has come, changed and gone for that grantee (RFC 8620 §5.2). Both are pruned with the change log.
CREATE TABLE share_history (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    grantee_id bigint NOT NULL,
    modseq bigint NOT NULL,
    before bigint[] NOT NULL,
    PRIMARY KEY (partition, account_id, grantee_id, modseq)
);
CREATE TABLE message_before (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    modseq bigint NOT NULL,
    message_id bigint NOT NULL,
    mailbox_ids bigint[] NOT NULL,
    PRIMARY KEY (partition, account_id, modseq)
);

-- Notifications of shares (RFC 9670 §3), in the partition of the account that they are for; at most 100 an account. The mailbox's name
-- is sealed under that account's key.
CREATE TABLE share_notification (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    notification_id bigint NOT NULL,
    created_ms bigint NOT NULL,
    owner_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    old_rights integer NOT NULL,
    new_rights integer NOT NULL,
    name_sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id, notification_id)
);
