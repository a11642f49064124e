-- What SCRAM-SHA-256 (RFC 5802) checks app passwords by. All of an account have one salt: it is told before it is known which of
-- them will be used. Those made before have no verifiers, and are good for everything else.
CREATE TABLE scram_salt (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    salt bytea NOT NULL,
    iterations integer NOT NULL,
    PRIMARY KEY (partition, account_id)
);
ALTER TABLE app_password ADD COLUMN scram_stored_key bytea, ADD COLUMN scram_server_key bytea;
