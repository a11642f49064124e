"""Rules of routing, without I/O."""
