"""The answer while an owner is away, as JMAP has it (RFC 8621 §8)."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_SUBJECT: Final = 500
MAX_BODY: Final = 65_536
MAX_SECONDS: Final = 253_402_300_799
"""The last second of the year 9999, the last that a UTCDate can say."""


class Vacation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is answered, and when: Unix seconds, None for no bound; texts are None where there are none."""

    enabled: bool = False
    from_seconds: int | None = None
    to_seconds: int | None = None
    subject: str | None = None
    text_body: str | None = None
    html_body: str | None = None

    def is_sound(self) -> bool:
        """Whether it is one that can be kept: bounded, and without what cannot stand in a header or a mail."""
        for seconds in (self.from_seconds, self.to_seconds):
            if seconds is not None and not -MAX_SECONDS <= seconds <= MAX_SECONDS:
                return False
        if self.subject is not None and (len(self.subject) > MAX_SUBJECT or not _is_line(self.subject)):
            return False
        return all(
            len(text) <= MAX_BODY and "\x00" not in text for text in (self.text_body or "", self.html_body or "")
        )

    def answers_at(self, seconds: float) -> bool:
        """Whether an answer is due at a time (Unix seconds): on, and from `from` until before `to`."""
        begun = self.from_seconds is None or self.from_seconds <= seconds
        return self.enabled and begun and (self.to_seconds is None or seconds < self.to_seconds)


def _is_line(text: str) -> bool:
    return not any(ord(one) < 32 or ord(one) == 127 for one in text)


def encode(vacation: Vacation) -> bytes:
    """Return the octets that are sealed."""
    return msgspec.json.encode(vacation)


def decode(octets: bytes) -> Vacation:
    """Return what `encode` was given."""
    return msgspec.json.decode(octets, type=Vacation)
