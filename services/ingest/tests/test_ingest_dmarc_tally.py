"""What is counted for DMARC reports: each message once, as it was judged, within bounds, and nothing of who asks for no report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from services.ingest.tests.judging_world import CLIENT, JudgingBench, signed, table

from petitbleu.delivery.v1 import reports_pb2 as pb
from petitbleu_ingest.judging import aggregate
from petitbleu_ingest.judging.aggregate import Tally
from petitbleu_mail.auth.dmarc_record import parse_record

MESSAGE = b"From: Ann <ann@good.example>\r\nTo: alice@demo.test\r\nSubject: x\r\n\r\nbody\r\n"
ELSEWHERE = "198.51.100.7"
RECORD = b"v=DMARC1; p=reject; rua=mailto:reports@good.example"


class Counted:
    """A door that judges and counts."""

    def __init__(self, record: bytes = RECORD, **settings: Any) -> None:
        self.taken: list[pb.DmarcCount] = []
        self.bench = JudgingBench({**table(), "_dmarc.good.example": [record]}, **settings)
        judge = self.bench.door.judge
        assert judge is not None
        self.tally = judge.tally = Tally(self.take, self.bench.door.settings.rules, lambda: 1_700_000_000)

    async def take(self, counts: Sequence[pb.DmarcCount]) -> None:
        self.taken.extend(counts)


async def test_rfc9990_messages_that_are_alike_are_counted_together() -> None:
    counted = Counted()
    for _ in range(3):
        assert await counted.bench.send(signed(MESSAGE)) == "250 2.6.0"
    assert await counted.bench.send(MESSAGE, "eve@elsewhere.example", ELSEWHERE) == "550 5.7.1"
    await counted.tally.flush()
    good, bad = counted.taken
    assert (good.messages, good.seen_at, bad.messages) == (3, 1_700_000_000, 1)
    said = good.evaluation
    assert (said.domain, said.source, said.disposition, said.header_from) == (
        "good.example",
        CLIENT,
        "pass",
        "good.example",
    )
    assert (said.dkim_aligned, said.spf_aligned, said.spf_result, said.spf_scope) == (True, True, "pass", "mfrom")
    assert [(one.domain, one.result) for one in said.signatures] == [("good.example", "pass")]
    assert parse_record(said.record.encode()) == parse_record(RECORD)
    said = bad.evaluation
    assert (said.source, said.disposition, said.reason) == (ELSEWHERE, "reject", "")
    assert (said.dkim_aligned, said.spf_aligned, said.envelope_from) == (False, False, "elsewhere.example")
    await counted.tally.flush()
    assert len(counted.taken) == 2, "what was handed over is counted no more"


async def test_rfc9990_what_the_house_does_otherwise_has_a_reason() -> None:
    counted = Counted(judge_reject="junk")
    assert await counted.bench.send(MESSAGE, "eve@elsewhere.example", ELSEWHERE) == "250 2.6.0"
    await counted.tally.flush()
    assert [(one.evaluation.disposition, one.evaluation.reason) for one in counted.taken] == [
        ("quarantine", "local_policy")
    ]


async def test_who_asks_for_no_reports_is_not_counted() -> None:
    counted = Counted(b"v=DMARC1; p=reject")
    await counted.bench.send(signed(MESSAGE))
    await counted.bench.send(MESSAGE.replace(b"good.example", b"nowhere.example"))
    await counted.bench.send(
        MESSAGE.replace(b"From: Ann <ann@good.example>", b"From: ann@good.example, eve@good.example")
    )
    await counted.tally.flush()
    assert counted.taken == []


async def test_a_flood_loses_counts_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate, "MAX_KINDS", 2)
    counted = Counted()
    for number in range(5):
        await counted.bench.send(MESSAGE, "eve@elsewhere.example", f"198.51.100.{number + 1}")
    await counted.tally.flush()
    assert len(counted.taken) == 2
