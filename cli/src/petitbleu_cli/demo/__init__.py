"""The demo tenant and Alice's mail."""
