-- What a subscription was told of identities, which have a state of their own (0004).
ALTER TABLE push_subscription ADD COLUMN told_identities bigint NOT NULL DEFAULT 0;
