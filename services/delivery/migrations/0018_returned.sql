-- What was said of mail after another server took it (ADR 39), and what accounts do in a day. By partition of the account (promise 5).

-- A row for each recipient of ours of whom something was said: a second bounce of the same says nothing new.
-- kind: 1 a bounce, 2 a complaint. recipient_no: the place in the envelope of accepted_id; no address is kept.
CREATE TABLE returned (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    accepted_id uuid NOT NULL,
    recipient_no smallint NOT NULL,
    kind smallint NOT NULL,
    status text NOT NULL,
    heard_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, accepted_id, recipient_no, kind)
);
CREATE INDEX returned_heard ON returned (partition, heard_at);

-- Days are counted from 1970. Recipients to whom an account sent, those of them that are new to it, that bounced, that complained.
CREATE TABLE conduct (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    day integer NOT NULL,
    tenant_id bigint NOT NULL,
    sent integer NOT NULL DEFAULT 0,
    fresh integer NOT NULL DEFAULT 0,
    bounced integer NOT NULL DEFAULT 0,
    complained integer NOT NULL DEFAULT 0,
    PRIMARY KEY (partition, account_id, day)
) WITH (fillfactor = 70);
CREATE INDEX conduct_day ON conduct (partition, day);
