"""Where an accepted message comes from and what is known of its sender, as columns of its row."""

from __future__ import annotations

from typing import Final

STRANGER: Final = 1
"""petitbleu.store.v1.ORIGIN_STRANGER: what nobody says more of."""
SUBMITTED: Final = 2
"""petitbleu.store.v1.ORIGIN_SUBMITTED: somebody of ours sends it."""
_ORIGINS: Final = range(STRANGER, 5)
_MASK: Final = 15
_MAX_SCORE: Final = 2**31 - 1
_ORIGIN_SHIFT: Final = 20
_SCORE_SHIFT: Final = 32

COLUMNS: Final = (
    "spf, dkim, dmarc, arc, treatment, origin, from_authenticated, envelope_authenticated, spam_score, "
    "submitter_account_id, submitter_tenant_id"
)
"""Columns of `accepted` that `UNPACKED` gives, in its order."""

UNPACKED: Final = (
    "(a.told & 15)::smallint, (a.told >> 4 & 15)::smallint, (a.told >> 8 & 15)::smallint, (a.told >> 12 & 15)::smallint, "
    f"(a.told >> 16 & 15)::smallint, (a.told >> {_ORIGIN_SHIFT} & 15)::smallint, (a.told >> 24 & 1) = 1, (a.told >> 25 & 1) = 1, "
    f"(a.told >> {_SCORE_SHIFT})::integer, a.submitter, a.tenant"
)
"""SQL that unpacks `a.told`, with `a.submitter` and `a.tenant`."""

UNTOLD: Final = STRANGER << _ORIGIN_SHIFT
"""What `packed` says of a stranger's mail that nobody judged."""


def packed(
    *,
    origin: int = STRANGER,
    from_authenticated: bool = False,
    envelope_authenticated: bool = False,
    spf: int = 0,
    dkim: int = 0,
    dmarc: int = 0,
    arc: int = 0,
    treatment: int = 0,
    spam_score: int = 0,
) -> int:
    """Return origin and verdicts (values of petitbleu.store.v1) in 64 bits, signed.

    The statement that accepts takes one array for them: it is run for every message, and each array of its own is paid for there.
    An origin that is not known to this version is a stranger's.
    """
    return (
        (spf & _MASK)
        | (dkim & _MASK) << 4
        | (dmarc & _MASK) << 8
        | (arc & _MASK) << 12
        | (treatment & _MASK) << 16
        | (origin if origin in _ORIGINS else STRANGER) << _ORIGIN_SHIFT
        | from_authenticated << 24
        | envelope_authenticated << 25
        | max(-_MAX_SCORE, min(_MAX_SCORE, spam_score)) << _SCORE_SHIFT
    )
