"""What a script may ask about that is neither in it nor in the message.

An implementation that does not know an answer may raise an exception of its own: it goes through `evaluate` unchanged, and as
an evaluation changes nothing it can be begun again once the answer is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from petitbleu_mail.sieve.script import Script


class Surroundings(Protocol):
    """The owner's mailboxes, scripts and lists, and what was seen before."""

    def script(self, name: str, is_global: bool, /) -> Script | None:
        """Return a script to include (RFC 6609 §3.2), None when there is none. May raise `SieveSyntaxError`."""

    def mailbox_exists(self, name: str, /) -> bool:
        """Whether there is such a mailbox, in which mail may be filed (RFC 5490 §3.1)."""

    def mailbox_id_exists(self, mailbox_id: str, /) -> bool:
        """Whether there is a mailbox with this id (RFC 9042 §6)."""

    def special_use_exists(self, attribute: str, mailbox: str | None, /) -> bool:
        r"""Whether any mailbox, or the one named, has a special use such as `\\Archive` (RFC 8579 §3)."""

    def is_duplicate(self, handle: str, unique_id: str, /) -> bool:
        """Whether a message with this id was recorded under the handle, and not too long ago (RFC 7352 §3)."""

    def list_exists(self, uri: str, /) -> bool:
        """Whether a list is known (RFC 6134 §2.7)."""

    def list_contains(self, uri: str, value: str, /) -> bool:
        """Whether a value is a member of a list (RFC 6134 §2.2)."""


class NoSurroundings:
    """Surroundings in which there is nothing; for checks of scripts and for those that ask for nothing."""

    def script(self, _name: str, _is_global: bool, /) -> Script | None:
        """No script."""

    def mailbox_exists(self, name: str, /) -> bool:
        """Only the inbox (RFC 9051 §5.1)."""
        return name.upper() == "INBOX"

    def mailbox_id_exists(self, _mailbox_id: str, /) -> bool:
        """None."""
        return False

    def special_use_exists(self, _attribute: str, _mailbox: str | None, /) -> bool:
        """None."""
        return False

    def is_duplicate(self, _handle: str, _unique_id: str, /) -> bool:
        """Nothing was seen."""
        return False

    def list_exists(self, _uri: str, /) -> bool:
        """None."""
        return False

    def list_contains(self, _uri: str, _value: str, /) -> bool:
        """Nothing is in a list."""
        return False
