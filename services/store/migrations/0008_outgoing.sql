-- Mail that leaves: a submission is handed over by its own id, and may be repeated long after (its sender was away for days).
--
-- kept_until: keys of mail that another service hands over live longer than those of peers; null for the usual 24 hours.
ALTER TABLE accept_key ADD COLUMN kept_until timestamptz;
