"""The port `Correspondents` on PostgreSQL: voices of persons about addresses. Who may speak is looked at in the same transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters import voices
from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, locked, or_away
from petitbleu_junior_guard.adapters.news import tell
from petitbleu_junior_guard.adapters.voices import guardians
from petitbleu_junior_guard.domain.alerts import NewsKind
from petitbleu_junior_guard.domain.correspondents import SAYS, Action, Known, Spoken, knowledge
from petitbleu_junior_guard.domain.rules import Level
from petitbleu_junior_guard.domain.voices import NOBODY, Kind, Voice
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, Correspondent
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

MAX_ADDRESSES: Final = 1000
MAX_ASKED: Final = 50

_ADDRESSES: Final = """/* cold:junior-guard.addresses */
SELECT address_hash, sealed FROM address WHERE partition = $1 AND account_id = $2 ORDER BY address_hash"""

_ALL_VOICES: Final = """/* cold:junior-guard.all_voices */
SELECT subject, party, kind, ends_at, said_at FROM voice WHERE partition = $1 AND account_id = $2 ORDER BY subject, party"""

_COUNT: Final = """/* cold:junior-guard.count_addresses */
SELECT (SELECT count(*) FROM address WHERE partition = $1 AND account_id = $2 AND address_hash <> $3) AS addresses,
    (SELECT count(*) FROM voice WHERE partition = $1 AND account_id = $2 AND party = $2 AND kind = $4 AND subject <> $3) AS asked"""

_ALIKE: Final = """/* cold:junior-guard.alike */
SELECT EXISTS (SELECT 1 FROM standing WHERE partition = $1 AND account_id = $2 AND skeleton_hash = $3 AND address_hash <> $4
    AND NOT is_refused AND (is_added OR greatest(approved_until, family_until, grouped_until) > $5))"""


async def guarded_by(connection: Connection, account_id: int, actor: Actor) -> Level:
    """Take a child's row for one of its guardians; its level.

    Raises:
        GuardError: NOT_YOURS, whether there is such a child or not.
    """
    try:
        row = await locked(connection, account_id)
    except GuardError:
        raise GuardError(Fault.NOT_YOURS) from None
    if row["tenant_id"] != actor.tenant_id or actor.party not in await guardians(connection, account_id):
        raise GuardError(Fault.NOT_YOURS)
    return Level(row["level"])


async def spoken(connection: Connection, account_id: int) -> dict[bytes, list[Spoken]]:
    """All voices of a child's, by subject."""
    found: dict[bytes, list[Spoken]] = defaultdict(list)
    for row in await connection.fetch(_ALL_VOICES, partition_of_account(account_id), account_id):
        voice = Voice(row["party"], Kind(row["kind"]), row["ends_at"])
        found[row["subject"]].append(Spoken(voice, row["said_at"]))
    return found


async def known(connection: Connection, account_id: int, only: Collection[bytes] | None = None) -> list[Known]:
    """A child's addresses, all or some, with what is said of them and what follows."""
    rows = await connection.fetch(_ADDRESSES, partition_of_account(account_id), account_id)
    sealed = {row["address_hash"]: row["sealed"] for row in rows if only is None or row["address_hash"] in only}
    said = await spoken(connection, account_id)
    follows = await voices.standings(connection, account_id, list(sealed))
    return [Known(one, sealed[one], said.get(one, []), follows[one]) for one in sealed]


async def make_room(connection: Connection, account_id: int, address_hash: bytes, *, asked: bool = False) -> None:
    """Refuse one address more than a child may have.

    Raises:
        GuardError: TOO_MANY.
    """
    row = await connection.fetchrow(_COUNT, partition_of_account(account_id), account_id, address_hash, int(Kind.ASKED))
    if row is None or row["addresses"] >= MAX_ADDRESSES or (asked and row["asked"] >= MAX_ASKED):
        raise GuardError(Fault.TOO_MANY)


async def looks_alike(connection: Connection, account_id: int, one: Correspondent, now: datetime) -> bool:
    """Whether an address looks like another one that is a correspondent."""
    return bool(
        await connection.fetchval(
            _ALIKE, partition_of_account(account_id), account_id, one.skeleton_hash, one.address_hash, now
        )
    )


async def speak(
    connection: Connection, account_id: int, subject: bytes, actor: Actor, action: Action, ends_at: datetime | None
) -> bool:
    """Carry an action on a voice out; whether it changed anything. The caller writes down what follows."""
    name = action.name.lower().replace("_", "-")
    if action in SAYS:
        changed = await voices.say(connection, account_id, subject, actor.party, SAYS[action], ends_at)
    elif action is Action.UNDO:
        changed = bool(await voices.take_back(connection, account_id, subject, [account_id]))
    else:
        said = await voices.said(connection, account_id, [subject])
        still = {*await guardians(connection, account_id), account_id, NOBODY} - {actor.party}
        gone = {voice.party for voice in said.get(subject, [])} - still
        changed = bool(await voices.take_back(connection, account_id, subject, gone))
    if changed:
        await audit(connection, account_id, actor.name, name, subject.hex())
    return changed


class PostgresCorrespondents:
    """Keeps what persons say of addresses."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def set_voice(
        self, account_id: int, one: Correspondent, actor: Actor, action: Action, ends_at: datetime | None, now: datetime,
        *, although_alike: bool,
    ) -> tuple[Level, Known]:  # fmt: skip
        """Say something of a correspondent as a guardian."""

        async def work(connection: Connection) -> tuple[Level, Known]:
            level = await guarded_by(connection, account_id, actor)
            await make_room(connection, account_id, one.address_hash)
            if action is Action.APPROVE and not although_alike and await looks_alike(connection, account_id, one, now):
                raise GuardError(Fault.LOOKS_ALIKE)
            await voices.know(connection, account_id, [one])
            await speak(connection, account_id, one.address_hash, actor, action, ends_at)
            await voices.stand(connection, account_id, [one.address_hash])
            return level, (await known(connection, account_id, [one.address_hash]))[0]

        return await in_transaction(self._pool, work)

    @or_away
    async def list_for(self, account_id: int, actor: Actor) -> tuple[Level, list[Known]]:
        """Give a child's correspondents to a guardian."""

        async def work(connection: Connection) -> tuple[Level, list[Known]]:
            return await guarded_by(connection, account_id, actor), await known(connection, account_id)

        return await in_transaction(self._pool, work)

    @or_away
    async def ask(self, child: Actor, one: Correspondent, now: datetime) -> tuple[Level, Known]:
        """Ask for a correspondent as the child; at a level that lets it, add it."""
        account_id = child.party

        async def work(connection: Connection) -> tuple[Level, Known]:
            level = await _own(connection, child)
            follows = (await voices.standings(connection, account_id, [one.address_hash]))[one.address_hash]
            if not follows.is_refused and not knowledge(level, follows, now).is_let_in():
                adds = level >= Level.GROUPS and not await looks_alike(connection, account_id, one, now)
                await make_room(connection, account_id, one.address_hash, asked=not adds)
                await voices.know(connection, account_id, [one])
                kind = Kind.ADDED if adds else Kind.ASKED
                if await voices.say(connection, account_id, one.address_hash, account_id, kind):
                    action = "add" if adds else "ask"
                    await audit(connection, account_id, child.name, action, one.address_hash.hex())
                    news = NewsKind.ADDED if adds else NewsKind.ASKED
                    await tell(connection, account_id, news, one.address_hash, one.sealed, now)
                await voices.stand(connection, account_id, [one.address_hash])
            found = await known(connection, account_id, [one.address_hash])
            return level, found[0]

        return await in_transaction(self._pool, work)

    @or_away
    async def own(self, child: Actor) -> tuple[Level, list[Known]]:
        """Give a child its own correspondents."""

        async def work(connection: Connection) -> tuple[Level, list[Known]]:
            return await _own(connection, child), await known(connection, child.party)

        return await in_transaction(self._pool, work)


async def _own(connection: Connection, child: Actor) -> Level:
    row = await locked(connection, child.party)
    if row["tenant_id"] != child.tenant_id:
        raise GuardError(Fault.NOT_A_CHILD)
    return Level(row["level"])
