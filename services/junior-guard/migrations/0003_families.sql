-- A guardian's children, found by the guardian.
CREATE INDEX guardian_children ON guardian (guardian_account_id);
