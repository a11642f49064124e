"""Scanners of mail, rspamd and clamd: how they are asked, whoever has a message to ask about."""
