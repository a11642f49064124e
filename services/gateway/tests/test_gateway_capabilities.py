"""RFC 8620 §3.6.1: a request uses what the session object tells of, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from tests.conformance.jmap_store import person_identity

from petitbleu_gateway.errors import Problem, RequestError
from petitbleu_gateway.jmap.envelope import CAPABILITIES, CORE, WEBPUSH, read_request
from petitbleu_gateway.jmap.session import SessionLimits, capabilities_of, session_object


def limits_of(key: str) -> SessionLimits:
    return SessionLimits(1, 1, 1, 1, 1, 1, 1, 1, 1, key)


def accepted(name: str, limits: SessionLimits) -> bool:
    data = msgspec.json.encode({"using": [CORE, name], "methodCalls": []})
    try:
        read_request("application/json", data, 1, capabilities_of(limits))
    except Problem as problem:
        assert str(problem) == RequestError.UNKNOWN_CAPABILITY  # noqa: PT017
        return False
    return True


@pytest.mark.parametrize("key", ["", "BPublicKey"])
def test_rfc8620_3_6_1_a_capability_may_be_used_when_the_session_tells_of_it(key: str) -> None:
    limits = limits_of(key)
    told = session_object(person_identity(7), "https://mail.example", limits)["capabilities"]
    assert {name for name in CAPABILITIES if accepted(name, limits)} == set(told)
    assert (WEBPUSH in told) == bool(key), "RFC 9749 §3"
