-- What DMARC said of mail that came in, for the reports of the day. Rows live two days at most; who sent from where is sealed.

CREATE TABLE dmarc_row (
    -- of the policy's domain
    partition smallint NOT NULL,
    day date NOT NULL,
    domain text NOT NULL,
    -- keyed hash of what the row says
    row_key bytea NOT NULL,
    sealed bytea NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (partition, day, domain, row_key)
);
