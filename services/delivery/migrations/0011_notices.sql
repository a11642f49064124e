-- Which answers came together, so that a notice of them is the same whenever it is written (ADR 24), and whether the next server tells the
-- sender of a success itself (RFC 3461 §5.2.1). Answers of a version before have 0: nobody knows which came together.
ALTER TABLE queue_recipient ADD COLUMN notice bigint NOT NULL DEFAULT 0;
ALTER TABLE queue_recipient ADD COLUMN informs boolean NOT NULL DEFAULT true;
