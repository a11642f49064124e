"""Tenants, domains, people, addresses, credentials and sessions."""

import petitbleu_kit  # noqa: F401 - before anything imports grpc, whose core it sets up
