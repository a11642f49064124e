"""Use cases: rounds of recipients from open to settled."""
