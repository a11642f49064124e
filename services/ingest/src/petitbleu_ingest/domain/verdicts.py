"""What was found out of a message's sender, in the words that travel with it (`petitbleu.store.v1.AuthenticationVerdicts`)."""

from __future__ import annotations

import msgspec


class Verdicts(msgspec.Struct, frozen=True):
    """Results are in the words of RFC 8601 §2.7, "" for what was not checked; `spam_score` is in hundredths.

    `from_authenticated` says that the one author in From is who it says, `envelope_authenticated` that a reply to the envelope
    sender hits nobody else; `junk` where the message belongs, `junk_recipients` the numbers of those for whom it belongs there where that
    is not so for all. `late_results` is our field where it could not stand in the trace lines any more.
    """

    from_authenticated: bool = False
    envelope_authenticated: bool = False
    spf: str = ""
    dkim: str = ""
    dmarc: str = ""
    arc: str = ""
    junk: bool = False
    spam_score: int = 0
    late_results: bytes = b""
    junk_recipients: tuple[int, ...] = ()
