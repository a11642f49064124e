"""What the tests of Sieve share: a message, and a script evaluated for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from petitbleu_mail.sieve.actions import Action
from petitbleu_mail.sieve.faults import Limits, SieveSyntaxError
from petitbleu_mail.sieve.message import Envelope, ParsedView
from petitbleu_mail.sieve.script import Outcome, compile_script, evaluate
from petitbleu_mail.sieve.surroundings import Surroundings

MESSAGE = (
    b"Received: from a.example by b.example; Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Received: from c.example by a.example; Sun, 22 Nov 2026 09:59:00 +0000\r\n"
    b"From: =?utf-8?q?J=C3=BCrgen?= <jurgen+work@Example.ORG>\r\n"
    b"To: Ann <ann@example.com>, bob@example.net\r\n"
    b"Cc: team: carl@example.com, dora@example.com;\r\n"
    b"Subject: [news] =?utf-8?q?Gr=C3=BC=C3=9Fe?= from\r\n the *world*\r\n"
    b"Date: Sun, 22 Nov 2026 10:00:00 +0100\r\n"
    b"Message-ID: <one@example.org>\r\n"
    b"X-Number: 42\r\n"
    b"X-Empty:\r\n"
    b"\r\n"
    b"Hello Ann,\r\nthis is the text.\r\n"
)
ENVELOPE = Envelope("jurgen+work@example.org", "ann@example.com")
NOW = datetime(2026, 11, 22, 18, 30, 5, tzinfo=UTC)


def run(
    script: str,
    message: bytes = MESSAGE,
    *,
    envelope: Envelope = ENVELOPE,
    around: Surroundings | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Outcome:
    return evaluate(compile_script(script), ParsedView(message), envelope, around=around, now=NOW, limits=limits)


def actions(script: str, message: bytes = MESSAGE, **more: object) -> list[Action]:
    """Evaluate a script that must come to its end."""
    outcome = run(script, message, **more)  # type: ignore[arg-type]
    assert outcome.fault is None, outcome.fault
    return list(outcome.actions)


def holds(test: str, requires: str = "", message: bytes = MESSAGE, **more: object) -> bool:
    """Whether a test is true for a message."""
    names = " ".join(requires.split())
    require = f"require [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in names.split())}];" if names else ""
    found = actions(f'{require} if {test} {{ redirect "true@example.com"; }} else {{ discard; }}', message, **more)
    return type(found[0]).__name__ == "Redirect"


def faults(script: str | bytes, limits: Limits = Limits()) -> list[str]:  # noqa: B008 - frozen
    """Return what is wrong with a script that does not compile."""
    with pytest.raises(SieveSyntaxError) as raised:
        compile_script(script, limits=limits)
    return [str(fault) for fault in raised.value.faults]
