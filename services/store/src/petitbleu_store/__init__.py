"""Keeps mail: accepted messages, bodies, mailboxes."""

import petitbleu_kit  # noqa: F401 - before anything imports grpc, whose core it sets up
