"""What the second gate keeps back of what was queued already, as answers that are kept like a server's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from petitbleu_delivery.domain.model import Recipient, Settlement
from petitbleu_delivery.domain.outbound import Answer, Reply, Verdict
from petitbleu_delivery.domain.verdict import SENDER_DISABLED, stopped, suspended, wait_for_guard
from petitbleu_delivery.ports import Word

WAITS_SECONDS: Final = 30.0
"""So long what waits for junior-guard is left before it is asked again."""
WAITS: Final = "waits-for-guard"
_ANSWERS: Final = {
    Word.WAITS: (Verdict.DEFERRED, Reply(0, "4.7.1", "the message waits for a guardian's word", "")),
    Word.STOPPED: (Verdict.REFUSED, SENDER_DISABLED),
    Word.SUSPENDED: (Verdict.DEFERRED, Reply(0, "4.7.1", "the sender may send nothing for now", "")),
}
SUSPENDED: Final = "sender-suspended"
KEPT: Final[dict[Word, Callable[[Recipient], Settlement]]] = {
    Word.WAITS: wait_for_guard, Word.STOPPED: stopped, Word.SUSPENDED: suspended,
}  # fmt: skip
"""What becomes of a recipient that is not queued yet and to whom the message does not go now."""


def kept_back(numbers: Sequence[int], words: Sequence[Word]) -> list[Answer]:
    """Return answers for those recipients to whom the message does not go now."""
    return [
        Answer(number, *_ANSWERS[word]) for number, word in zip(numbers, words, strict=True) if word is not Word.GOES
    ]


def all_wait(answers: Sequence[Answer]) -> bool:
    """Whether nothing has come to an end."""
    return all(answer.verdict is Verdict.DEFERRED for answer in answers)
