"""The recipients that are routed, where they lead, and what became of them."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import msgspec

from petitbleu_delivery.domain.rules import Folder

STRANGERS: Final = frozenset({0, 1})
"""petitbleu.store.v1.Origin: unknown, of mail of an older version, and a stranger's server."""


class Reason(StrEnum):
    """Why a recipient is parked or waits: codes for operators and `petitbleu trace`; README lists what to do for each."""

    NONE = ""
    NO_SUCH_ADDRESS = "no-such-address"
    ACCOUNT_DISABLED = "account-disabled"
    NOT_HOSTED = "not-hosted"
    NO_TARGET = "no-target"
    UNRESOLVABLE = "unresolvable"
    NO_ACCOUNT = "no-account"
    UNREADABLE = "unreadable"
    STORE_REFUSED = "store-refused"
    STORE_FAILED = "store-failed"
    GUARD_REFUSED = "guard-refused"
    DELIVERY_FAILED = "delivery-failed"
    WAITS_FOR_GUARD = "waits-for-guard"
    PARTLY_HELD = "partly-held"
    SENDER_DISABLED = "sender-disabled"
    SENDER_SUSPENDED = "sender-suspended"
    RULE = "rule"
    HELD_LIMIT = "held-limit"
    RETURNED = "returned"


class Status(IntEnum):
    """What the directory says an address is."""

    LOCAL = 1
    UNKNOWN = 2
    DISABLED = 3
    REMOTE = 4
    UNCLEAR = 5


class Target(NamedTuple):
    """An account that an address reaches; guarded when it is a child's."""

    account_id: int
    guarded: bool


class Route(msgspec.Struct, frozen=True, gc=False):
    """The directory's answer for one address."""

    status: Status
    targets: tuple[Target, ...] = ()
    domain_id: int = 0
    indirect: bool = False
    """Whether an alias, a group or a catch-all led there, so that a change elsewhere may concern it."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """An accepted message, as far as routing needs it. The id has 16 octets; `mail_from` is empty for the null path."""

    accepted_id: bytes
    mail_from: str
    header_from: str
    authenticated: bool
    traceparent: str = ""
    size: int = 0
    """Octets of the blob."""
    junk: bool = False
    """Whether what ingest found out puts it in Junk, whoever its recipient."""
    envelope_authenticated: bool = False
    """Whether a reply to the envelope sender reaches who sent it, and no third party."""
    late_results: bytes = b""
    """Our Authentication-Results where it is not in the blob."""
    origin: int = 0
    """As petitbleu.store.v1.Origin."""
    submitter_id: int = 0
    """The account that submitted it, or for which it was written; 0 for a stranger's."""
    submitter_tenant_id: int = 0
    received_at: float = 0.0
    """Unix seconds of acceptance."""
    dmarc_failed: bool = False
    """Whether the DMARC check of its author failed."""
    spam_score: int = 0
    """What scanners gave it, in hundredths of points."""
    junk_recipients: frozenset[int] = frozenset()
    """Numbers of the recipients for whom it belongs in Junk where `junk` does not say so for all."""


class Recipient(msgspec.Struct, frozen=True, gc=False):
    """An open recipient: its number in the envelope, its mailbox as received, and the attempts so far."""

    message: Message
    number: int
    address: str
    attempts: int
    wants_success: bool = False
    """Whether NOTIFY asks for a word when it is filed (RFC 3461 §4.1)."""

    @property
    def junk(self) -> bool:
        """Whether what ingest found out puts it in Junk for this recipient."""
        return self.message.junk or self.number in self.message.junk_recipients


class Filed(IntEnum):
    """What store answered for one message in one account, or why it was not asked."""

    FILED = 1
    HELD = 2
    DECISION_REQUIRED = 3
    NO_ACCOUNT = 4
    UNREADABLE = 5
    REFUSED = 6
    FAILED = 7
    GUARD_REFUSED = 8
    DISCARDED = 9
    """A rule of the account wants it nowhere; store is not asked."""
    DROPPED = 10
    """More waits for a child than is kept; store is not asked."""


class Placement(msgspec.Struct):
    """One message for one account on behalf of one recipient."""

    recipient: Recipient
    account_id: int
    guarded: bool
    sole: bool = False
    """Whether it is the recipient's only one, so that store may record the outcome in the commit that files."""
    token: str = ""
    filed: Filed = Filed.DECISION_REQUIRED
    settled: bool = False
    """Whether store did record the outcome."""
    message_id: int = 0
    """The message in the account, once it is filed."""
    junk: bool = False
    """Whether it belongs in Junk: as was found out, or as the account's list of senders says. junior-guard goes by what was found out."""
    roles: tuple[str, ...] = ()
    """Roles of the mailboxes to file it in; with no folders either, the inbox."""
    folders: tuple[Folder, ...] = ()
    """More mailboxes, as the account's rules name them."""
    keywords: tuple[str, ...] = ()
    """Keywords to set."""
    header: bytes = b""
    """What a rule makes of the header (RFC 5293), the blank line included; empty for as it came."""
    header_from: int = 0
    """Of how many octets of the message it takes the place."""
    weigh: bool = False
    """Whether store may put it in Junk by the words of the account's junk."""
    newcomer: bool = False
    """Whether its sender is new to the child whose account it is, by junior-guard's word."""


class Outcome(IntEnum):
    """Where a recipient stands after a round."""

    OPEN = 1
    FILED = 2
    HELD = 3
    QUEUED = 4
    DISCARDED = 5
    PARKED = 6


class Settlement(msgspec.Struct, frozen=True):
    """The outcome to record for one recipient. `retry_seconds` counts for OPEN only, and counts an attempt."""

    recipient: Recipient
    outcome: Outcome
    reason: Reason = Reason.NONE
    account_ids: tuple[int, ...] = ()
    retry_seconds: float = 0
