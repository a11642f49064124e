"""What tenants want done with mail that was found wanting: from the operator's command line to the mailboxes."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests.conformance.jmap_client import JmapClient
from tests.conformance.smtp.wire_client import Client
from tests.integration.delivery_world import world_of
from tests.integration.judging_names import Names, zone
from tests.integration.test_ingest_judging import HELO, message
from tests.live_stack import DOMAIN, PASSWORD, LiveStack
from tests.ports import offset_of

from petitbleu.delivery.v1 import inbound_pb2, inbound_pb2_grpc

OFFSET = offset_of(620)
OTHER = "lenient.test"


@pytest.fixture(scope="module")
def wished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    with Names(zone()) as names:
        environment = {
            "PETITBLEU_DNS": names.address,
            "PETITBLEU_SMTP_HOSTNAME": "mx.live.test",
            "PETITBLEU_JUDGE_SECONDS": "3",
            "PETITBLEU_INGEST_CACHE_SECONDS": "0.01",
        }
        stack = LiveStack(tmp_path_factory.mktemp("wished") / "data", OFFSET, environment)
        try:
            stack.begin()
            stack.cli("tenant", "create", "lenient")
            stack.cli("domain", "create", OTHER, "--tenant", "lenient")
            yield stack
        finally:
            stack.stop()


def person(stack: LiveStack, name: str, *more: str) -> str:
    address = f"{name}.{secrets.token_hex(3)}@{OTHER if name.startswith('other') else DOMAIN}"
    stack.cli("account", "create", address, "--password", PASSWORD, *more)
    return address


def tenant_of(stack: LiveStack, domain: str) -> str:
    domains = json.loads(stack.cli("domain", "list", "--json"))
    return str(next(one["tenant_id"] for one in domains if one["domain"] == domain))


def said(stack: LiveStack, *arguments: str) -> Any:
    return json.loads(stack.cli("inbound", *arguments, "--json"))


def conversation(stack: LiveStack, *recipients: str) -> list[tuple[int, str]]:
    """Send a forgery of a domain that asks for `reject`; codes and statuses from MAIL to the final dot."""
    with Client(stack.smtp_port, seconds=60) as client:
        assert client.hello(HELO).code == 250
        replies = [client.cmd("MAIL FROM:<x@soft.example>"), *(client.cmd(f"RCPT TO:<{one}>") for one in recipients)]
        replies.append(client.data(message("ann@good.example", recipients[0]) + b".\r\n"))
    stack.wait_settled()
    return [(one.code, one.status) for one in replies]


def places(stack: LiveStack, address: str) -> list[str]:
    """Return the roles of the mailboxes in which somebody has mail."""
    client = JmapClient(f"http://127.0.0.1:{stack.http_port}", address, PASSWORD)
    try:
        return [
            role for role in ("inbox", "junk") for _ in client.call("Email/query", filter={"inMailbox": client.mailbox(role)})["ids"]
        ]  # fmt: skip
    finally:
        client.http.close()


def test_each_tenant_has_its_own_way(wished: LiveStack) -> None:
    strict, lenient = tenant_of(wished, DOMAIN), tenant_of(wished, OTHER)
    one, other = person(wished, "one"), person(wished, "other")
    assert conversation(wished, one)[-1] == conversation(wished, other)[-1] == (550, "5.7.1"), "as the settings say"
    told = said(wished, "set", lenient, "--reject", "none", "--refuse-points", "15", "--junk-points", "never")
    wanted = {
        "tenant": int(lenient), "reject": "none", "quarantine": None, "listed": None, "spam": None, "junk_points": 0,
        "refuse_points": 15, "changed": None,
    }  # fmt: skip
    assert told == said(wished, "show", lenient) == wanted
    said(wished, "set", strict, "--reject", "refuse")
    assert conversation(wished, one)[-1] == (550, "5.7.1")
    assert conversation(wished, other)[-1] == (250, "2.6.0")
    assert places(wished, other) == ["inbox"]
    # in one mail: it is taken, and who wants it refused finds it in Junk
    assert conversation(wished, other, one)[-1] == (250, "2.6.0")
    assert (places(wished, one), places(wished, other)) == (["junk"], ["inbox", "inbox"])
    said(wished, "set", lenient, "--reject", "junk")
    assert conversation(wished, other)[-1] == (250, "2.6.0")
    assert places(wished, other) == ["inbox", "inbox", "junk"]
    assert [one["tenant"] for one in said(wished, "list")] == [int(lenient), int(strict)]
    for tenant in (strict, lenient):
        assert not any(value for name, value in said(wished, "set", tenant).items() if name != "tenant")
    assert said(wished, "list") == []
    assert conversation(wished, other)[-1] == (550, "5.7.1")


def test_a_child_is_answered_for_as_an_adult_is(wished: LiveStack) -> None:
    """RCPT and the final dot tell a stranger nothing of whose account is guarded."""
    adult = person(wished, "adult")
    child = person(wished, "child", "--guarded", "--guardian", adult)
    tenant = tenant_of(wished, DOMAIN)
    for wish in ("refuse", "junk", "none"):
        said(wished, "set", tenant, "--reject", wish)
        assert conversation(wished, child) == conversation(wished, adult)
    said(wished, "set", tenant)
    assert places(wished, child) == [], "what the guard has not seen is in no mailbox"


def called_junk(stack: LiveStack, address: str) -> None:
    """Have a person move all that is in the inbox to Junk."""
    client = JmapClient(f"http://127.0.0.1:{stack.http_port}", address, PASSWORD)
    try:
        inbox, junk = client.mailbox("inbox"), client.mailbox("junk")
        ids = client.call("Email/query", filter={"inMailbox": inbox})["ids"]
        assert ids
        patch = {f"mailboxIds/{junk}": True, f"mailboxIds/{inbox}": None}
        assert not client.call("Email/set", update=dict.fromkeys(ids, patch)).get("notUpdated")
    finally:
        client.http.close()


def until_known(stack: LiveStack, junk: float, mails: float) -> dict[str, Any]:
    """Wait until so many recipients are counted; what is said then. What is counted may have lost a little by midnight."""
    deadline = time.monotonic() + 60
    while True:
        known = dict(said(stack, "sender", "GOOD.example"))
        if known["junk"] > junk - 0.5 and known["mails"] > mails - 0.5:
            return known
        assert time.monotonic() < deadline, known
        time.sleep(0.5)


def test_who_is_called_junk_by_many_has_points_against_it(wished: LiveStack) -> None:
    people = [person(wished, f"reader{number}") for number in range(4)]
    assert said(wished, "sender", "good.example") == {"domain": "good.example", "points": 0, "mails": 0, "junk": 0}
    with Client(wished.smtp_port, seconds=60) as client:
        assert client.hello(HELO).code == 250
        for one in people:
            for _ in range(5):
                client.envelope(one, sender="ann@good.example")
                assert client.data(message("ann@good.example", one) + b".\r\n").code == 250
    wished.wait_settled()
    for one in people[:3]:
        called_junk(wished, one)
    # one person's quarrel counts three times a day
    known = until_known(wished, 9, 20)
    assert known["junk"] <= 9
    assert known["points"] > 2
    called_junk(wished, people[3])
    assert until_known(wished, 12, 20)["points"] > known["points"]
    # whoever writes in its name without being it is not what is known of it
    assert said(wished, "sender", "good.example", "--forget")["points"] == 0


async def test_only_the_operator_says_it_and_only_what_there_is(wished: LiveStack) -> None:
    async with world_of(wished) as world:
        policy = inbound_pb2.InboundPolicy(tenant_id=1, reject=inbound_pb2.INBOUND_MEASURE_NONE)
        stub = inbound_pb2_grpc.InboundPolicyServiceStub
        for caller in ("gateway", "ingest"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await world.call(
                    "delivery", caller, stub, "SetInboundPolicy", inbound_pb2.SetInboundPolicyRequest(policy=policy)
                )
            assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
        for wrong in (
            inbound_pb2.InboundPolicy(reject=inbound_pb2.INBOUND_MEASURE_NONE),
            inbound_pb2.InboundPolicy(tenant_id=1, junk_points=-1),
            inbound_pb2.InboundPolicy(tenant_id=1, refuse_points=1_000_001),
            inbound_pb2.InboundPolicy(tenant_id=1, spam=inbound_pb2.InboundMeasure.ValueType(9)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await world.call(
                    "delivery", "operator", stub, "SetInboundPolicy", inbound_pb2.SetInboundPolicyRequest(policy=wrong)
                )
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        many = inbound_pb2.ReadInboundPoliciesRequest(tenant_ids=range(1, 1002))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.call("delivery", "ingest", inbound_pb2_grpc.InboundServiceStub, "ReadInboundPolicies", many)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
