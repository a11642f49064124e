"""What at least three services need. It knows nothing of mail."""
