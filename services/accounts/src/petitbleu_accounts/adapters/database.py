"""Types of the database driver, which are generic for the type checker only, and how the directory is read."""

from __future__ import annotations

from typing import Final, TypeAlias

import asyncpg

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# The directory's statements are few and find their rows by index. By itself PostgreSQL makes most of their plans anew, since a
# list of ten addresses is assumed and another length looks cheaper or dearer: that costs twice what running them does. A plan
# made while a table was empty (a scan) would be kept when it is large.
HOT_SETTINGS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
}
