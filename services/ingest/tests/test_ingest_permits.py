"""What somebody hears who submits to too many, or while nobody can say how many it were."""

from __future__ import annotations

import pytest

from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.service.submitters import PermitsAwayError, SuspendedError
from petitbleu_ingest.smtp.submission import refused_amount

WHO = Submitter(7, 9, frozenset({"me@here.test"}))


class Permits:
    def __init__(self, answer: int | None) -> None:
        self.answer = answer
        self.asked: list[tuple[int, int, int]] = []

    async def permit(self, submitter: Submitter, recipients: int) -> int:
        self.asked.append((submitter.account_id, submitter.tenant_id, recipients))
        if self.answer is None:
            raise PermitsAwayError
        return self.answer


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        (0, b""),
        (1, b"450 4.7.1 You have sent to very many lately, try again in 1 minutes\r\n"),
        (3600, b"450 4.7.1 You have sent to very many lately, try again in 60 minutes\r\n"),
        (None, b"451 4.3.0 "),
    ],
)
async def test_what_is_answered(answer: int | None, start: bytes) -> None:
    permits = Permits(answer)
    wire = await refused_amount(permits, WHO, 3)
    assert (wire.startswith(start) and wire.endswith(b"\r\n")) if start else wire == b""
    assert permits.asked == [(7, 9, 3)]


class Suspended:
    async def permit(self, submitter: Submitter, recipients: int) -> int:
        raise SuspendedError


async def test_who_is_suspended_is_told_so_for_good() -> None:
    wire = await refused_amount(Suspended(), WHO, 3)
    assert wire == b"550 5.7.1 Sending is suspended for this account, ask its administrator\r\n"
