"""Lengths of the property tests: a sample in `make test`, far more examples in `make soak`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW_MACHINES = (HealthCheck.too_slow,)

settings.register_profile("sample", max_examples=100, deadline=None, suppress_health_check=SLOW_MACHINES)
settings.register_profile("soak", max_examples=10_000, deadline=None, suppress_health_check=SLOW_MACHINES)
settings.load_profile("soak" if os.environ.get("PETITBLEU_SOAK") else "sample")
