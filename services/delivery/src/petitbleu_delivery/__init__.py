"""Delivery: from accepted to filed. It routes each open recipient and records what became of it."""
