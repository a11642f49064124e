"""PostgreSQL and store behind the ports."""
