-- What the mail of sending domains was to those who got it (ADR 45). Only of domains that were authenticated. By partition of the domain's hash.

-- mails: recipients who got mail of it; junk: recipients who called it junk. Both halve in fourteen days; they are as of `day`, counted from 1970.
CREATE TABLE sender_domain (
    partition smallint NOT NULL,
    domain text NOT NULL,
    day integer NOT NULL,
    mails double precision NOT NULL,
    junk double precision NOT NULL,
    PRIMARY KEY (partition, domain)
) WITH (fillfactor = 70);
CREATE INDEX sender_domain_day ON sender_domain (partition, day);

-- What a recipient said of a message, so that it counts once, and can be taken back. By partition of the account.
-- version: rises with what the account says; what is older changes nothing.
CREATE TABLE sender_lesson (
    partition smallint NOT NULL,
    junk boolean NOT NULL,
    account_id bigint NOT NULL,
    accepted_id uuid NOT NULL,
    domain text NOT NULL,
    version bigint NOT NULL,
    taught_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, account_id, accepted_id)
);
CREATE INDEX sender_lesson_taught ON sender_lesson (partition, taught_at);
