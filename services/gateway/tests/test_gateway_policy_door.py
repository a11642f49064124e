"""`/.well-known/mta-sts.txt`: served for hosted domains under their own name and no other, and while delivery is away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_gateway.http.app import Gateway, Route
from petitbleu_gateway.http.policy_door import STS_PATH, PolicyDoor
from petitbleu_gateway.ports import AwayError
from petitbleu_mail.mta_sts import make_policy, parse_policy

POLICY = make_policy("enforce", ["mx.post.example"], 604800)


class Policies:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    async def sts_policy(self, domain: str) -> str | None:
        self.asked.append(domain)
        if self.away:
            raise AwayError
        return POLICY.text if domain in {"post.example", "xn--cole-9oa.example"} else None


class Served:
    """The door on a fake, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.policies = Policies()
        door = PolicyDoor(self.policies, lambda: self.now)
        self.application = Gateway([Route("mta-sts", STS_PATH, {"GET": door.policy, "HEAD": door.policy})])

    async def get(self, host: bytes, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http", "method": method, "path": STS_PATH, "query_string": b"", "headers": [(b"host", host)],
            "client": ("192.0.2.1", 1), "scheme": "https",
        }  # fmt: skip
        await self.application(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:])


@pytest.mark.parametrize(
    "host",
    [b"mta-sts.post.example", b"MTA-STS.Post.Example.", b"mta-sts.post.example:443", b"mta-sts.xn--cole-9oa.example"],
)
async def test_a_hosted_domain_has_its_policy(host: bytes) -> None:
    status, headers, body = await Served().get(host)
    assert status == 200
    assert headers[b"content-type"].startswith(b"text/plain")
    assert parse_policy(body) == POLICY
    assert (await Served().get(host, "HEAD"))[::2] == (200, b"")


@pytest.mark.parametrize(
    "host",
    [
        b"post.example", b"mail.post.example", b"mta-sts.other.example", b"mta-sts.", b"", b"mta-sts.post.example, evil.example",
        b"mta-sts.post.example/..", b"mta-sts.mta-sts.post.example", b"mta-sts.[::1]", b"mta-sts." + b"a." * 200 + b"example",
    ],
)  # fmt: skip
async def test_any_other_name_has_none(host: bytes) -> None:
    assert (await Served().get(host))[0] == 404


async def test_delivery_is_asked_once_a_minute_and_missed_for_a_day() -> None:
    served = Served()
    served.policies.away = True
    assert (await served.get(b"mta-sts.post.example"))[0] == 503
    served.policies.away = False
    for _ in range(5):
        assert (await served.get(b"mta-sts.post.example"))[0] == 200
    assert len(served.policies.asked) == 2
    served.policies.away = True
    served.now += 3600
    assert (await served.get(b"mta-sts.post.example"))[0] == 200
    served.now += 86_400
    assert (await served.get(b"mta-sts.post.example"))[0] == 503


@given(
    st.binary(max_size=80)
    | st.lists(st.sampled_from([b"mta-sts.", b"a", b".", b"-", b":", b"1", b"\xff", b" "])).map(b"".join)
)
async def test_any_host_is_answered_and_asked_for_as_a_domain(host: bytes) -> None:
    served = Served()
    status, _, _ = await served.get(host)
    assert status in {200, 404}
    assert all(b"mta-sts." + asked.encode() in host.lower() for asked in served.policies.asked)
