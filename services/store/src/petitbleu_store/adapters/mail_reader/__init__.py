"""A process that reads the texts of mail, so that the event loop goes on: for the index with the lowest priority, for a search at once."""
