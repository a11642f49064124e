-- What an operator says of how much an account or a tenant may send, and whether at all (ADR 33). By partition of the subject's id
-- (promise 5); a row for whom something was said, which is few.
--
-- scope: 1 an account, 2 a tenant. hour, day: the most recipients, 0 without limit, null what the plan says.
CREATE TABLE permit_terms (
    partition smallint NOT NULL,
    scope smallint NOT NULL,
    subject_id bigint NOT NULL,
    hour bigint,
    day bigint,
    suspended boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, scope, subject_id)
);
