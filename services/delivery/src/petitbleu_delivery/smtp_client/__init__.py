"""The client's side of SMTP (RFC 5321)."""
