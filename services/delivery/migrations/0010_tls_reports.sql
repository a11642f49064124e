-- What TLS was like with servers of domains that ask for reports (RFC 8460), until the day's report is sent. Rows live two days at most; no person
-- is in them: policies, hosts, addresses of servers.

CREATE TABLE tls_row (
    -- of the domain
    partition smallint NOT NULL,
    day date NOT NULL,
    domain text COLLATE "C" NOT NULL,
    -- hash of what the row says
    row_key bytea NOT NULL,
    said bytea NOT NULL,
    sessions bigint NOT NULL,
    PRIMARY KEY (partition, day, domain, row_key)
);
