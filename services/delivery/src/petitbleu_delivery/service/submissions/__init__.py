"""What people submit from their own mailboxes (RFC 8621 §7)."""
