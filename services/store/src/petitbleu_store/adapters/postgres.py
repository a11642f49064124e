"""The store's two pools and what its statements share."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import asyncpg
import asyncpg.pool

Pool: TypeAlias = "asyncpg.Pool[Any]"
# Whatever statements can be run on: a connection (in a transaction or not), or the pool.
Executor: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any] | asyncpg.Pool[Any]"

# Advisory locks of the schema: (class, number). The class is "st".
LOCK_CLASS: Final = 0x7374
LOCK_INTAKE_KEY: Final = 1
LOCK_PACKER: Final = 2
LOCK_SWEEP: Final = 3

_ARRAY: Final = re.compile(r"\$(\d+)::(\w+)\[\]")


def of_one_row(statement: str) -> str:
    """Return a statement over arrays as the same for one row of values.

    A lone message is one row nearly everywhere, and arrays are dear on both sides: to be encoded, and to be unnested and joined.
    """
    return _ARRAY.sub(r"$\1::\2", statement).replace("unnest(", "(SELECT ").replace("= ANY(", "= (")
