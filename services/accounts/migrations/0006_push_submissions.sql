-- What a subscription was told of submissions, which delivery keeps and which have a state of their own.
ALTER TABLE push_subscription ADD COLUMN told_submissions bigint NOT NULL DEFAULT 0;
