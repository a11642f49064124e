-- Reports on what was submitted (RFC 8621 §7, dsnBlobIds and mdnBlobIds). By partition of the account (promise 5).

-- Which submission a report is about: keyed hashes of Message-IDs.
CREATE TABLE submission_subject (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    subject_key bytea NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (partition, account_id, subject_key, number)
);

-- The messages that came. kind: 1 a delivery status notification, 2 a receipt. displayed: the recipient who saw the message, -1 for none.
CREATE TABLE submission_report (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    number bigint NOT NULL,
    message_id bigint NOT NULL,
    kind smallint NOT NULL,
    displayed smallint NOT NULL,
    PRIMARY KEY (partition, account_id, number, message_id)
);
