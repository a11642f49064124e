"""What other servers said against addresses, and what is done about it."""
