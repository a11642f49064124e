"""Plain facts and rules, without I/O."""
