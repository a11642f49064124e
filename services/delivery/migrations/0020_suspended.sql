-- Who is suspended is read whole every few seconds, by each process that sends: they are few among all of whom something is said.
CREATE INDEX permit_terms_suspended ON permit_terms (partition, scope, subject_id) WHERE suspended;
