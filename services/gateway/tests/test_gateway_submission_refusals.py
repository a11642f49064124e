"""What JMAP says of a submission that delivery refused (RFC 8621 §7.5)."""

from __future__ import annotations

import pytest

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu_gateway.errors import SetFault
from petitbleu_gateway.methods.email_submission_set import refusal_of


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (pb.SUBMISSION_STATUS_OVER_LIMIT, SetFault.RATE_LIMIT),
        (pb.SUBMISSION_STATUS_SUSPENDED, SetFault.FORBIDDEN_TO_SEND),
        (pb.SUBMISSION_STATUS_INVALID, SetFault.INVALID_PROPERTIES),
    ],
)
def test_a_refused_submission_has_its_error(status: pb.SubmissionStatus.ValueType, fault: SetFault) -> None:
    assert refusal_of(pb.SubmissionResult(status=status)).fault is fault
