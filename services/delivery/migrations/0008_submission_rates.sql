-- Recipients that an account submitted to since the beginning of an hour and of a day (Unix milliseconds), each window begun by its
-- first submission. Here and not in Redis: a flush must give nobody a new day.
ALTER TABLE submission_book ADD COLUMN hour_ms bigint NOT NULL DEFAULT 0, ADD COLUMN hour_recipients bigint NOT NULL DEFAULT 0,
    ADD COLUMN day_ms bigint NOT NULL DEFAULT 0, ADD COLUMN day_recipients bigint NOT NULL DEFAULT 0;
