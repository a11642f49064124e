-- What a subscription was told of rules, which delivery keeps: of Sieve scripts, and of the answer while away.
ALTER TABLE push_subscription ADD COLUMN told_scripts bigint NOT NULL DEFAULT 0;
ALTER TABLE push_subscription ADD COLUMN told_vacation bigint NOT NULL DEFAULT 0;
