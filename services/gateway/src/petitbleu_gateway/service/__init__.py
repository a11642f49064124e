"""Use cases that are no JMAP method: authentication, the session object, readiness."""
