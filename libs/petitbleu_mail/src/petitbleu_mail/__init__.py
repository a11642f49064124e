"""Pure mail code: no sockets, no files, no clock. Each module has one subject and is imported by its own name."""
