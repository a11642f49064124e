"""What every backend is made from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from petitbleu_dev.layout import Layout, Ports
from petitbleu_dev.offspring import Offspring

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


def base_environment() -> dict[str, str]:
    """The few variables that every child may see."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


@dataclass(frozen=True, slots=True)
class Context:
    """One stack: its paths, its ports, the way to start processes and to say something."""

    layout: Layout
    ports: Ports
    offspring: Offspring
    say: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=base_environment)
