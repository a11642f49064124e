"""Use cases: checking mail, registering children, approving correspondents, deciding on held mail."""
