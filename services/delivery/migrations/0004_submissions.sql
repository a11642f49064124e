-- What people submit from their own mailboxes (RFC 8621 §7), by partition of the account (promise 5).

-- modseq: state of an account's submissions; last_number: the last number given, none is given twice; pruned_modseq: changes are told
-- from here on; live: submissions that are not gone.
CREATE TABLE submission_book (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    modseq bigint NOT NULL DEFAULT 0,
    last_number bigint NOT NULL DEFAULT 0,
    pruned_modseq bigint NOT NULL DEFAULT 0,
    live integer NOT NULL DEFAULT 0,
    PRIMARY KEY (partition, account_id)
);

-- state: as in submission.proto. gone: destroyed; the row stays as its place in the log of changes, and for as long as the mail is still
-- to be handed over, which destroying does not change. next_try_ms: when it is due, and while it is handed over when whoever does it is
-- believed dead. envelope: sealed under the key of delivery, which PostgreSQL does not have (ADR 27); empty once nobody needs it.
CREATE TABLE submission (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    number bigint NOT NULL,
    submission_id bytea NOT NULL,
    tenant_id bigint NOT NULL,
    identity_id bigint NOT NULL,
    message_id bigint NOT NULL,
    thread_id bigint NOT NULL,
    state smallint NOT NULL,
    created_modseq bigint NOT NULL,
    modseq bigint NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    send_at_ms bigint NOT NULL,
    next_try_ms bigint NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    finished_ms bigint NOT NULL DEFAULT 0,
    accepted_id bytea,
    recipients integer NOT NULL,
    envelope bytea NOT NULL,
    PRIMARY KEY (partition, account_id, number)
);
CREATE UNIQUE INDEX submission_once ON submission (partition, account_id, submission_id);
CREATE INDEX submission_due ON submission (partition, next_try_ms) WHERE state IN (1, 2);
CREATE INDEX submission_sending ON submission (partition, account_id) WHERE state = 2;
CREATE INDEX submission_accepted ON submission (partition, account_id, accepted_id);
CREATE INDEX submission_modseq ON submission (partition, account_id, modseq);
CREATE INDEX submission_finished ON submission (partition, finished_ms) WHERE state > 2 AND NOT gone;

-- What is known of a recipient, once anything is. reply: the reply of SMTP, sealed, for it may repeat addresses.
CREATE TABLE submission_recipient (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    number bigint NOT NULL,
    recipient_no integer NOT NULL,
    delivered smallint NOT NULL,
    reply bytea NOT NULL,
    PRIMARY KEY (partition, account_id, number, recipient_no)
);

-- News that came before it was written down which submission the accepted mail is. reply: as above.
CREATE TABLE submission_news (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    accepted_id bytea NOT NULL,
    recipient_no integer NOT NULL,
    delivered smallint NOT NULL,
    reply bytea NOT NULL,
    heard_ms bigint NOT NULL,
    PRIMARY KEY (partition, account_id, accepted_id, recipient_no)
);
