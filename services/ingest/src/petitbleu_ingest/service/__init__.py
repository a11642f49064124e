"""Use cases: recipients, acceptance, admission, memory."""
