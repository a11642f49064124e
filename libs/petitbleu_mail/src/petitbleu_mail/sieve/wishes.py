"""What a script has asked for so far: bounds, doubles, and what cannot go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from petitbleu_mail.sieve.actions import (
    Action,
    Discard,
    Edits,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    Remember,
    Vacation,
)

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

_FILED_ELSEWHERE = (Keep, FileInto, Redirect)


class Wishes:
    """The actions of one evaluation."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.actions: list[Action] = []
        self.implicit_keep = True
        self.remember: list[Remember] = []

    @property
    def edits(self) -> Edits:
        """The changes of the header so far: an action takes them with it (RFC 5293 §6)."""
        return tuple(self._machine.header.edits)

    def store(self, action: Keep | FileInto) -> None:
        """Add a place to file in. One mailbox gets the message once (RFC 5228 §2.10.3); of two flags the later ones count."""
        self._refuse_with(Reject, "a message that is refused cannot be filed as well")
        for index, known in enumerate(self.actions):
            if isinstance(known, Keep | FileInto) and _mailbox(known) == _mailbox(action):
                if action.flags is not None:
                    self.actions[index] = replace(known, flags=action.flags)
                return
        self._add(action)

    def redirect(self, action: Redirect) -> None:
        """Add an address to send on to, each once."""
        self._refuse_with(Reject, "a message that is refused cannot be redirected as well")
        if action in self.actions:
            return
        if sum(isinstance(one, Redirect) for one in self.actions) >= self._machine.limits.redirects:  # RFC 5228 §10
            raise self._machine.fail(f"a script may redirect a message {self._machine.limits.redirects} times")
        self._add(action)

    def reject(self, action: Reject) -> None:
        """Refuse the message. Nothing else may become of it (RFC 5429 §2.3)."""
        if any(isinstance(one, Reject) for one in self.actions):
            raise self._machine.fail("a message can be refused only once")
        if any(isinstance(one, (*_FILED_ELSEWHERE, Vacation)) for one in self.actions):
            raise self._machine.fail("a message that is filed, redirected or answered cannot be refused as well")
        self.implicit_keep = False
        self._add(action)

    def answer(self, action: Vacation) -> None:
        """Answer once (RFC 5230 §4.7)."""
        self._refuse_with(Reject, "a message that is refused is not answered")
        self._refuse_with(Vacation, "a message can be answered only once")
        self._add(action)

    def notify(self, action: Notify) -> None:
        """Tell somebody."""
        if action in self.actions:
            return
        if sum(isinstance(one, Notify) for one in self.actions) >= self._machine.limits.notifications:
            raise self._machine.fail(f"a script may notify {self._machine.limits.notifications} times for a message")
        self._add(action)

    def _refuse_with(self, kind: type[Action], reason: str) -> None:
        if any(isinstance(one, kind) for one in self.actions):
            raise self._machine.fail(reason)

    def _add(self, action: Action) -> None:
        if len(self.actions) >= self._machine.limits.actions:
            raise self._machine.fail(f"a script may do {self._machine.limits.actions} things with a message")
        self.actions.append(action)

    def finish(self, flags: Sequence[str] | None) -> tuple[Action, ...]:
        """Return the actions, the implicit keep among them where nothing took its place (RFC 5228 §2.10.2)."""
        if self.implicit_keep:
            self.store(Keep(None if flags is None else tuple(flags), self.edits))
        return tuple(self.actions) or (Discard(),)


def _mailbox(action: Keep | FileInto) -> tuple[str, str | None, str | None]:
    if isinstance(action, Keep):
        return "INBOX", None, None
    name = "INBOX" if action.mailbox.upper() == "INBOX" else action.mailbox
    return name, action.special_use, action.mailbox_id
