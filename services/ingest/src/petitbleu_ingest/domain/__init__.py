"""What a message is before it is accepted; no I/O."""
