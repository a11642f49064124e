"""The rules of mailboxes at filing: which messages they concern, what they say, and what goes out for it.

What goes out is handed to store before the message is filed, under keys that make a repeat a no-op, and remembered: a crash at any point
does it again, once in effect. Nothing of a rule can keep a message from being filed: what cannot be done is left out, and the
message is kept in the inbox.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from petitbleu_delivery.adapters.rule_peers import Person
from petitbleu_delivery.adapters.rule_rows import Kind
from petitbleu_delivery.domain.answers import Owner
from petitbleu_delivery.domain.model import STRANGERS, Placement
from petitbleu_delivery.domain.prefix import prefix
from petitbleu_delivery.domain.rules import JUNK, Ruling, ruling_of
from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.service.contacts import Contacts
from petitbleu_delivery.service.scripts.carrying import RULED, Case, Means
from petitbleu_delivery.service.scripts.evaluation import View, ruled
from petitbleu_delivery.service.scripts.rulebook import Rulebook, Rules
from petitbleu_delivery.service.scripts.senders import SenderLists
from petitbleu_kit.logs import get_logger
from petitbleu_mail.sieve.actions import Keep
from petitbleu_mail.sieve.message import Envelope

_log = get_logger(__name__)

_HEADER_OCTETS: Final = 256 << 10
_BODY_OCTETS: Final = 4 << 20
_MOST_WEIGHED: Final = 1_000
_AT_ONCE: Final = 4
"""Messages in memory, and scripts in threads, at once."""


class Rulings:
    """Judges placements.

    Args:
        rulebook: The rules in force.
        means: What they are carried out with.
        senders: Whom accounts list as senders.
        contacts: Whom they know.
    """

    def __init__(self, rulebook: Rulebook, means: Means, senders: SenderLists, contacts: Contacts) -> None:
        self._contacts = contacts
        self._rulebook = rulebook
        self._senders = senders
        self._means = means
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def apply(self, placements: Sequence[Placement]) -> None:
        """Say of each placement where it is to be filed, or that it is discarded; do what else the rules want.

        Raises:
            PeerUnavailableError: a peer does not answer: the messages wait.
        """
        for placement in placements:
            placement.junk = placement.recipient.junk
            placement.weigh = (
                not placement.junk and not placement.guarded and placement.recipient.message.origin in STRANGERS
            )
        try:
            await self._apply(placements)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise PeerUnavailableError(Peer.DATABASE, type(error).__name__) from None

    async def _apply(self, placements: Sequence[Placement]) -> None:
        books, listing = await self._rulebook.of({placement.account_id for placement in placements})
        if listing:
            await self._senders.heed([placement for placement in placements if placement.account_id in listing])
        concerned = [placement for placement in placements if placement.account_id in books]
        if concerned:
            await self._weigh([placement for placement in concerned if placement.weigh])
        for placement in placements:
            if placement.junk:
                placement.roles = (JUNK,)
        if not concerned:
            return
        people = await self._means.peers.people(sorted({placement.account_id for placement in concerned}))
        done = await asyncio.gather(
            *(
                self._rule(placement, books[placement.account_id], people[placement.account_id])
                for placement in concerned
                if placement.account_id in people
            ),
            return_exceptions=True,
        )
        for error in done:
            if isinstance(
                error, PeerUnavailableError | asyncpg.PostgresConnectionError | asyncpg.InterfaceError | OSError
            ):
                raise error
            if error is not None:
                # an error of ours: whoever's rule causes it has the message in the inbox
                RULED.labels(result="failed").inc()
                # its text might quote the message
                _log.error("a rule could not be carried out", error_type=type(error).__qualname__, at=_place(error))

    async def _weigh(self, placements: Sequence[Placement]) -> None:
        """Ask for what is junk by the words of accounts with rules: rules do other things with junk, and nobody who is away answers it.

        For everybody else store looks while it files. Mail does not wait for this word.
        """
        if not placements:
            return
        asked = placements[:_MOST_WEIGHED]
        try:
            junk = await self._means.peers.weighed(
                [(one.recipient.message.accepted_id, one.account_id) for one in asked]
            )
        except (PeerUnavailableError, PeerRefusedError) as error:
            _log.warning("words were not weighed", error_type=type(error).__name__)
            return
        for placement, said in zip(asked, junk, strict=False):
            placement.junk = said
            placement.weigh = False

    async def _rule(self, placement: Placement, rules: Rules, person: Person) -> None:
        async with self._turns:
            # A remembered route may be a minute old. Of an account that became a child's since, nothing is thrown away or sent out.
            placement.guarded = placement.guarded or person.guarded
            message = placement.recipient.message
            octets = await self._means.peers.read(
                message.accepted_id, _BODY_OCTETS if rules.reads_bodies else _HEADER_OCTETS
            )
            if octets is None:  # store will say so of the filing
                return
            # a script sees what its owner will see: the lines of final delivery stand on top
            lines = prefix(message.mail_from, placement.recipient.address, message.late_results)
            view = View(lines + octets, len(lines) + message.size)
            owner = Owner(person.address, person.name, placement.recipient.address)
            ruling = await self._ruling(placement, rules, view)
            if not placement.guarded and (ruling.is_irrevocable or rules.away is not None):
                # who became a child's while the script ran loses nothing either, and one who is gone sends nothing
                again = (await self._means.peers.people([placement.account_id])).get(placement.account_id)
                placement.guarded = again is None or again.guarded
            case = Case(self._means, placement, rules, owner, view, octets)
            await case.carry_out(ruling)

    async def _ruling(self, placement: Placement, rules: Rules, view: View) -> Ruling:
        message, junk = placement.recipient.message, placement.junk
        account_id = placement.account_id
        if rules.script is None:
            return ruling_of((Keep(),), (), rules.fault, junk=junk)

        async def seen(handle: str, unique_id: str) -> bool:
            key = self._means.hash(account_id, "seen", handle, unique_id)
            known = (await self._means.memory.find(account_id, Kind.SEEN, [key])).get(key)
            return known is not None and known != UUID(bytes=message.accepted_id)

        envelope = Envelope(message.mail_from, placement.recipient.address)
        return await ruled(
            rules, view, envelope, junk=junk, folders=lambda: self._means.peers.folders(account_id), seen=seen,
            contacts=lambda addresses: self._contacts.known(account_id, addresses),
        )  # fmt: skip


def _place(error: BaseException) -> str:
    """Return where an error arose: the file and line of its innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
