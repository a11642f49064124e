"""What the rules of one mailbox want done with one message, done: what goes out first, then where the message goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from petitbleu_delivery.adapters.rule_peers import Letter, RulePeers
from petitbleu_delivery.adapters.rule_rows import Kind, RuleMemory
from petitbleu_delivery.domain.answers import (
    DEFAULT_SECONDS,
    Owner,
    away_answer,
    fault_mail,
    may_be_answered,
    may_be_told,
    notification_mail,
    plain_address,
    rejection_mail,
    vacation_mail,
)
from petitbleu_delivery.domain.model import Filed, Message, Placement
from petitbleu_delivery.domain.prefix import prefix
from petitbleu_delivery.domain.rules import INBOX, JUNK, MOST_HOPS, MOST_SENT_ON, Ruling
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.service.bounces.return_paths import ReturnPaths
from petitbleu_delivery.service.outbound.entering import SUBMITTED
from petitbleu_delivery.service.permits import Permits, SuspendedError
from petitbleu_delivery.service.scripts.evaluation import View
from petitbleu_delivery.service.scripts.forwarding import SealForward
from petitbleu_delivery.service.scripts.rulebook import Rules
from petitbleu_kit.logs import get_logger
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.sieve.actions import Edits, Notify, Vacation
from petitbleu_mail.sieve.editing import edited, edited_header
from petitbleu_mail.sieve.message import HeaderView, ParsedView
from petitbleu_mail.sieve.notifying import parse_mailto

_log = get_logger(__name__)
RULED: Final = Counter("petitbleu_delivery_rulings_total", "Messages that rules of mailboxes judged", ["result"])
_SENT: Final = Counter("petitbleu_delivery_rule_mails_total", "Mails that rules of mailboxes sent", ["kind"])

_UNSENT: Final = Counter(
    "petitbleu_delivery_rule_mails_over_limit_total", "Mails of rules that the account may not send now", ["kind"]
)
_COUNTED: Final = frozenset({"redirect", "answer", "notify"})

_SENT_SECONDS: Final = 60 * 86_400
"""As long as a recipient may stay open: what went out for it is known."""
_DAY: Final = 86_400
_AUTHORS: Final = frozenset({"from", "sender"})
"""What is sent on says who wrote it as it said before: the sender must own the From, and this one's envelope sender is somebody else (RFC 5293 §8)."""
_OVER_LIMIT: Final = (
    "More messages were to be sent on than this account may send in an hour, or in a day. What comes meanwhile is kept."
)


@dataclass(frozen=True, slots=True)
class Means:
    """What rules are carried out with.

    Attributes:
        peers: store and accounts.
        memory: What rules remember.
        seal: Makes keyed hashes.
        forward: Seals what is sent on.
        permits: Says how much an account may send, whatever way it sends it.
        paths: Says with which envelope sender a message is sent on.
        host: Our name, in notices.
    """

    peers: RulePeers
    memory: RuleMemory
    seal: Seal
    forward: SealForward
    permits: Permits
    paths: ReturnPaths
    host: str

    def hash(self, account_id: int, *pieces: str | bytes) -> bytes:
        """Return the keyed hash of pieces for an account."""
        return self.seal.hash(account_id, *(one if isinstance(one, bytes) else one.encode() for one in pieces))


class Case:
    """One message in one account, and what its rules want done."""

    def __init__(
        self, means: Means, placement: Placement, rules: Rules, owner: Owner, view: View, octets: bytes
    ) -> None:
        self._means = means
        self._placement = placement
        self._rules = rules
        self._owner = owner
        self._header = HeaderView(view.fields())
        self._octets = octets
        self._message: Message = placement.recipient.message
        self._accepted = UUID(bytes=self._message.accepted_id)
        self._over_limit = False

    async def carry_out(self, ruling: Ruling) -> None:
        """Do what goes out, then say where the message goes."""
        placement = self._placement
        roles, folders = ruling.roles, ruling.folders
        if placement.guarded:
            # nothing goes out of a child's account for a rule, and nothing is kept from its guardians
            if not ruling.files:
                roles = (INBOX,)
        else:
            if ruling.redirects and not await self._redirect(ruling.redirects):
                roles = roles or (INBOX,)
            if ruling.reject is not None and not await self._reject(ruling.reject):
                roles = (JUNK,)
            if ruling.reject is None:
                await self._answer(ruling.answers)
            await self._notify(ruling.notices)
        fault = ruling.fault or (_OVER_LIMIT if self._over_limit else "")
        if fault:
            await self._tell(fault)
        for seen in ruling.remember:
            key = self._means.hash(placement.account_id, "seen", seen.handle, seen.unique_id)
            await self._means.memory.keep(placement.account_id, Kind.SEEN, key, self._accepted, seen.seconds)
        placement.roles, placement.folders, placement.keywords = roles, folders, ruling.keywords
        if ruling.edits and not placement.guarded:
            # what guardians decided on is what the child sees
            placement.header, placement.header_from = edited_header(self._octets, ruling.edits)
        if not roles and not folders:
            placement.filed = Filed.DISCARDED
        result = "fault" if ruling.fault else "discarded" if placement.filed is Filed.DISCARDED else "filed"
        RULED.labels(result=result).inc()

    async def _redirect(self, redirects: Sequence[tuple[str, Edits]]) -> bool:
        """Send the message on; say whether that is done for all addresses (RFC 5228 §4.2)."""
        mine = plain_address(self._owner.address)
        here = {plain_address(value) for value in self._header.values("delivered-to")[1:]}
        hops = len(self._header.raw("received"))
        if plain_address(self._owner.recipient) in here or mine in here or hops > MOST_HOPS:
            _log.warning("a message goes in circles: it is kept", accepted_id=self._accepted.hex)
            return False
        if self._message.size > MOST_SENT_ON:
            return False
        whole = self._octets
        if len(whole) < self._message.size:
            read = await self._means.peers.read(self._message.accepted_id, 0)
            if read is None:
                return False
            whole = read
        sender = self._means.paths.sender_of(
            self._message.mail_from, self._owner.address, self._accepted_seconds,
            ours=self._message.origin == SUBMITTED, junk=self._placement.junk,
        )  # fmt: skip
        trace = prefix("", self._owner.recipient).partition(b"\r\n")[2]
        bodies: dict[Edits, bytes] = {}
        letters = []
        for address, edits in redirects:
            if plain_address(address) == mine:
                continue
            if edits not in bodies:
                allowed = tuple(one for one in edits if one.name.lower() not in _AUTHORS)
                bodies[edits] = await self._means.forward(edited(whole, allowed), self._owner.address)
            letters.append(
                Letter(
                    self._key("redirect", plain_address(address)), sender, address, trace, bodies[edits],
                    self._placement.account_id, self._rules.tenant_id,
                    header_from=self._message.header_from, authenticated=self._message.authenticated,
                    junk=self._placement.junk, dmarc_failed=self._message.dmarc_failed,
                )
            )  # fmt: skip
        done = await self._send("redirect", letters)
        return done and len(letters) == len(redirects)

    async def _reject(self, reason: str) -> bool:
        """Tell the sender that the message is refused, if the sender is known to be who it is (RFC 5429 §2.1)."""
        sender = self._message.mail_from
        if not sender or not self._message.envelope_authenticated:
            return False
        key = self._key("reject")
        body = rejection_mail(reason, self._owner, self._octets, sender, self._means.host, key)
        letter = Letter(
            key, "", sender, b"", body, self._placement.account_id, self._rules.tenant_id, notice=True,
        )  # fmt: skip
        return await self._send("reject", [letter])

    async def _answer(self, answers: Sequence[Vacation]) -> None:
        """Answer the sender, once in a while (RFC 5230). The script's answer goes before the one set beside it."""
        away = None if answers else self._rules.away
        if away is not None and away.answers_at(self._accepted_seconds):
            answers = [away_answer(away)]
        if not answers or self._placement.junk:
            return
        answer = answers[0]
        sender = self._message.mail_from
        own = (self._owner.address, self._owner.recipient, *answer.addresses)
        if not may_be_answered(self._header, sender, own):
            return
        account_id = self._placement.account_id
        told = (
            repr((answer.reason, answer.subject, answer.sender, answer.is_mime))
            if answer.handle is None
            else answer.handle
        )
        key = self._means.hash(account_id, "answered", told, plain_address(sender))
        seconds = DEFAULT_SECONDS if answer.seconds is None else answer.seconds
        if seconds and not await self._means.memory.claim(account_id, Kind.ANSWERED, key, self._accepted, seconds):
            return
        mark = self._key("answer")
        body = vacation_mail(answer, self._owner, self._header, sender, mark, away)
        if not await self._send("answer", [self._own(mark, sender, body)]) and seconds:
            # nobody was answered: the sender's next message is
            await self._means.memory.release(account_id, Kind.ANSWERED, key, self._accepted)

    async def _notify(self, notices: Sequence[Notify]) -> None:
        """Tell those whom the script names of the message (RFC 5435, RFC 5436)."""
        if not may_be_told(self._header):
            return
        letters = []
        for notice in notices:
            wanted = parse_mailto(notice.method)
            if wanted is None:
                continue
            for address in wanted.recipients:
                key = self._key("notify", plain_address(address), notice.method)
                body = notification_mail(notice, wanted, address, self._owner, self._header, key)
                letters.append(self._own(key, address, body))
        if letters:
            await self._send("notify", letters)

    async def _tell(self, fault: str) -> None:
        """Tell the owner that the script failed, once a day (RFC 5228 §2.10.6)."""
        account_id = self._placement.account_id
        key = self._means.hash(account_id, "told")
        if not await self._means.memory.claim(account_id, Kind.TOLD, key, self._accepted, _DAY):
            return
        if any(value.startswith("auto-") for value in self._header.values("auto-submitted")):
            return  # the notice itself must not be the next one's reason
        mark = self._key("fault")
        body = fault_mail(fault, self._owner, mark)
        await self._send(
            "fault", [Letter(mark, "", self._owner.address, b"", body, account_id, self._rules.tenant_id, notice=True)]
        )

    async def _send(self, kind: str, letters: Sequence[Letter]) -> bool:
        """Hand mails to store, each once whatever happens; say whether all are durable.

        What goes to somebody else by the owner's will counts among what the account may send (ADR 29): who has its password has its script, too.
        """
        account_id, memory = self._placement.account_id, self._means.memory
        known = await memory.find(account_id, Kind.SENT, [letter.key for letter in letters])
        left = [letter for letter in letters if letter.key not in known]
        if not left:
            return True
        if kind in _COUNTED and not await self._permitted(kind, len(left)):
            return False
        try:
            taken = await self._means.peers.accept(left)
        except (PeerRefusedError, PeerUnavailableError) as error:
            _log.warning("store did not take a mail of a rule", kind=kind, code=error.code)
            return False
        if taken:
            for letter in left:
                await memory.keep(account_id, Kind.SENT, letter.key, self._accepted, _SENT_SECONDS)
            _SENT.labels(kind=kind).inc(len(left))
        return taken

    async def _permitted(self, kind: str, recipients: int) -> bool:
        try:
            wait = await self._means.permits.permit(
                self._placement.account_id, self._rules.tenant_id, recipients, self._key("permit", kind)
            )  # fmt: skip
            may = not wait
        except SuspendedError:
            may = False
        if not may:
            self._over_limit |= kind == "redirect"  # of the others the message itself is where the script wants it
            _UNSENT.labels(kind=kind).inc(recipients)
            _log.warning("rules send more than the account may", kind=kind, accepted_id=self._accepted.hex)
        return may

    def _own(self, key: bytes, to: str, body: bytes) -> Letter:
        """Return a mail that the owner writes, with the null path; it is signed where their address is of a domain of ours."""
        author = next(
            (one.email for raw in HeaderView(ParsedView(body).fields()).raw("from") for one in as_addresses(raw)), ""
        )
        return Letter(
            key, "", to, b"", body, self._placement.account_id, self._rules.tenant_id, header_from=author, authenticated=True
        )  # fmt: skip

    def _key(self, *pieces: str) -> bytes:
        return self._means.hash(self._placement.account_id, "send", self._accepted.bytes, *pieces)

    @property
    def _accepted_seconds(self) -> float:
        """When the message was accepted (Unix seconds): whether an answer is due does not depend on when it is tried again."""
        return (self._accepted.int >> 80) / 1000
