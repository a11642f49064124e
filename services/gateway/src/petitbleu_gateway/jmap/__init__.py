"""JMAP's core (RFC 8620): requests, result references, ids, the session object, and the run of method calls."""
