"""Keeps mail: accepted messages, bodies, mailboxes."""
