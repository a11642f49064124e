"""What talks to PostgreSQL, S3 and files."""
