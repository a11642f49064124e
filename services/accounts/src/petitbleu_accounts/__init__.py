"""Tenants, domains, people, addresses, credentials and sessions."""
