"""What junior-guard should do, said again in the plainest way: sets and loops, no hashes, no rows that follow from others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

AGAINST = {"REFUSE", "BLOCK"}
SHOWN = {"unconfirmed", "look-alike", "not-approved"}


@dataclass
class Mail:
    """A message for the child; `why` is why it waits."""

    number: int
    sender: str
    null_path: bool
    confirmed: bool
    junk: bool
    dmarc_failed: bool
    size: int
    held_at: datetime | None = None
    state: str = "new"
    why: str = ""


@dataclass
class Group:
    """A group and what is said of it."""

    kind: str
    members: set[str]
    voices: dict[str, tuple[str, datetime | None]]


@dataclass
class Model:
    """One child. `twins` names, for an address, those that look like it."""

    twins: dict[str, set[str]]
    level: int = 2
    guardians: dict[str, str] = field(default_factory=dict)
    voices: dict[str, dict[str, tuple[str, datetime | None]]] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    mails: dict[int, Mail] = field(default_factory=dict)
    stands: dict[tuple[str, bool], tuple[str, str]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    expired: int = 0

    def approved(self, said: Iterable[tuple[str, datetime | None]], now: datetime) -> bool:
        spoken = list(said)
        if any(what in AGAINST for what, _ in spoken):
            return False
        return any(what == "APPROVE" and (ends is None or ends > now) for what, ends in spoken)

    def refused(self, address: str) -> bool:
        return any(what in AGAINST for what, _ in self.voices.get(address, {}).values())

    def grouped(self, address: str, kind: str, now: datetime) -> bool:
        return any(
            group.kind == kind and address in group.members and self.approved(group.voices.values(), now)
            for group in self.groups.values()
        )

    def family(self, address: str, now: datetime) -> bool:
        return address in self.guardians.values() or self.grouped(address, "family", now)

    def added(self, address: str) -> bool:
        return self.voices.get(address, {}).get("child", ("", None))[0] == "ADD"

    def lets_in(self, address: str, now: datetime) -> bool:
        if self.refused(address):
            return False
        if self.family(address, now):
            return True
        if self.level >= 2 and self.approved(self.voices.get(address, {}).values(), now):
            return True
        return self.level >= 3 and (self.grouped(address, "class", now) or self.added(address))

    def known(self, address: str, now: datetime) -> bool:
        """Whether an address is a correspondent at some level."""
        if self.refused(address):
            return False
        said = self.voices.get(address, {}).values()
        return (
            self.family(address, now) or self.approved(said, now) or self.added(address)
            or self.grouped(address, "class", now)
        )  # fmt: skip

    def looks_alike(self, address: str, now: datetime) -> bool:
        return any(self.known(twin, now) for twin in self.twins.get(address, ()))

    def why_held(self, mail: Mail, now: datetime) -> str:
        """Return why a message waits, empty when it does not."""
        if mail.null_path or not mail.sender or mail.junk or mail.dmarc_failed or self.refused(mail.sender):
            return "silent"
        if not mail.confirmed:
            return "unconfirmed"
        if self.lets_in(mail.sender, now):
            return ""
        if self.looks_alike(mail.sender, now):
            return "look-alike"
        return "" if self.level == 4 else "not-approved"

    def comes(self, mail: Mail, now: datetime) -> str:
        """Decide on a message: "deliver", "hold" or "drop"."""
        mail = self.mails.setdefault(mail.number, mail)
        if mail.state == "released":
            return "deliver"
        if mail.state == "destroyed":
            return "hold"
        waited, mail.why = mail.state == "waits", self.why_held(mail, now)
        if not mail.why:
            mail.state = "delivered"
            if not self.lets_in(mail.sender, now):  # a newcomer, of whom guardians are told
                self.stands.setdefault((mail.sender, True), ("", ""))
                self.seen[mail.sender, True] = now
            return "deliver"
        if not waited and not self.has_room(mail):
            mail.state = "dropped"
            self.dropped.add(mail.number)
            return "drop"
        mail.state = "waits"
        mail.held_at = mail.held_at or now
        return "hold"

    def waiting(self) -> list[Mail]:
        return [mail for mail in self.mails.values() if mail.state == "waits"]

    def has_room(self, mail: Mail) -> bool:
        waiting = self.waiting()
        silent = [one for one in waiting if one.why not in SHOWN]
        if sum(one.sender == mail.sender for one in waiting) >= 20:
            return False
        if len(waiting) >= 200 or sum(one.size for one in waiting) + mail.size > 50 << 20:
            return False
        if mail.why in SHOWN:
            return True
        return len(silent) < 100 and sum(one.size for one in silent) + mail.size <= 25 << 20

    def decide(
        self, guardian: str, sender: str, confirmed: bool, action: str, now: datetime, alike_too: bool
    ) -> str | int:
        """Decide on a sender; the number of messages, or why it is refused."""
        if (sender, True) not in self.stands and (sender, False) not in self.stands:
            return "no sender"
        delivers = action.startswith("DELIVER")
        if action == "DELIVER_AND_APPROVE" and not alike_too and self.looks_alike(sender, now):
            return "looks alike"
        before = dict(self.voices.get(sender, {}))
        if action != "DELIVER_ONCE":
            said = "APPROVE" if delivers else action
            self.voices.setdefault(sender, {})[guardian] = (said, None)
        if delivers and self.refused(sender):
            self.voices[sender] = before
            return "refused by others"
        cleared = [
            mail
            for mail in self.waiting()
            if mail.sender == sender and (not delivers or (mail.confirmed == confirmed and mail.why in SHOWN))
        ]
        for mail in cleared:
            mail.state = "released" if delivers else "destroyed"
        return len(cleared)

    def expire(self, now: datetime) -> None:
        for mail in self.waiting():
            if mail.held_at is not None and mail.held_at < now - timedelta(days=30):
                mail.state = "destroyed"
                self.expired += 1
        # who waits no more is forgotten after as long
        for sender, confirmed in list(self.stands):
            if not any(mail.sender == sender for mail in self.waiting()):
                seen = self.seen[sender, confirmed]
                if seen < now - timedelta(days=30):
                    del self.stands[sender, confirmed]

    seen: dict[tuple[str, bool], datetime] = field(default_factory=dict)
