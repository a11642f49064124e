"""One module a subject: its arguments and what it does."""
