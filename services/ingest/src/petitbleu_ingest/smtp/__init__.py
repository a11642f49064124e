"""SMTP on the wire: translation only; decisions are taken in `service` and `domain`."""
