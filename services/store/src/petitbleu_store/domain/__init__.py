"""Plain data and rules, without I/O."""
