"""What all rows of junior-guard share: a failure of the database is never a guess, a child's rows change under its lock, all is audited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar

import asyncpg

from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_kit.ids import new_row_id, partition_of_account
from petitbleu_kit.logs import get_logger

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # not generic at run time
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
_log = get_logger(__name__)

_AUDIT: Final = """/* cold:junior-guard.audit */
INSERT INTO audit (partition, audit_id, account_id, actor, action, subject) VALUES ($1, $2, $3, $4, $5, $6)"""

_LOCK: Final = """/* hot:junior-guard.lock */
SELECT tenant_id, level FROM child WHERE partition = $1 AND account_id = $2 FOR UPDATE"""

_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def or_away(
    work: Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Result]]:
    """Turn any failure of the database into DATABASE_AWAY: the caller waits and asks again, nothing is guessed."""

    @wraps(work)
    async def wrapped(self: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return await work(self, *args, **kwargs)
        except _AWAY as error:
            _log.warning("the database does not answer", error_type=type(error).__qualname__)
            raise GuardError(Fault.DATABASE_AWAY) from None

    return wrapped


async def lock(connection: Connection, account_id: int) -> asyncpg.Record | None:
    """Take a child's row; its tenant and level, None when the account is not registered as a child's."""
    return await connection.fetchrow(_LOCK, partition_of_account(account_id), account_id)


async def locked(connection: Connection, account_id: int) -> asyncpg.Record:
    """As `lock`.

    Raises:
        GuardError: NOT_A_CHILD.
    """
    row = await lock(connection, account_id)
    if row is None:
        raise GuardError(Fault.NOT_A_CHILD)
    return row


async def audit(connection: Connection, account_id: int, actor: str, action: str, subject: str) -> None:
    """Write down who did what. Ids and codes only."""
    await connection.execute(_AUDIT, partition_of_account(account_id), new_row_id(), account_id, actor, action, subject)
