"""The HTTP doors: JMAP, sessions, downloads and readiness. It keeps nothing durable."""
