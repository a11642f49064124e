"""What stands between the use cases and the outside: PostgreSQL, Redis, argon2, the peers."""
