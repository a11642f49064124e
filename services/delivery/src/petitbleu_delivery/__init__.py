"""Delivery: from accepted to filed. It routes each open recipient and records what became of it."""

import petitbleu_kit  # noqa: F401 - before anything imports grpc, whose core it sets up
