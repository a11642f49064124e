"""Absurd arguments to every method of JMAP: each is refused with a word of the standard, and nothing fails inside."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from typing import Any, Final
from unittest.mock import MagicMock

import msgspec
import pytest
from tests.conformance.jmap_client import JmapClient
from tests.integration.delivery_world import ONLY, PASSWORD, prepared_stack, world_of
from tests.ports import offset_of

from petitbleu_dev.stack import Stack
from petitbleu_gateway.jmap.calls import AccountArguments
from petitbleu_gateway.jmap.envelope import CAPABILITIES, WEBSOCKET
from petitbleu_gateway.methods.registry import build_registry

ROUNDS: Final = 100 if os.environ.get("PETITBLEU_SOAK") else 25
REGISTRY: Final = build_registry(MagicMock(), MagicMock(), 1_000_000, MagicMock(), MagicMock(), guardians=MagicMock())
USING: Final = tuple(sorted(CAPABILITIES - {WEBSOCKET}))
# What stands in objects of the standards, and in none: a name is taken at random.
NAMES: Final = [
    "name",
    "parentId",
    "role",
    "sortOrder",
    "isSubscribed",
    "shareWith",
    "mailboxIds",
    "keywords",
    "receivedAt",
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "sentAt",
    "textBody",
    "htmlBody",
    "attachments",
    "bodyValues",
    "bodyStructure",
    "headers",
    "messageId",
    "inReplyTo",
    "references",
    "identityId",
    "emailId",
    "envelope",
    "mailFrom",
    "rcptTo",
    "email",
    "parameters",
    "undoStatus",
    "holdFor",
    "HOLDFOR",
    "HOLDUNTIL",
    "blobId",
    "size",
    "type",
    "data",
    "data:asText",
    "data:asBase64",
    "digest:sha",
    "offset",
    "length",
    "partId",
    "value",
    "replyTo",
    "textSignature",
    "htmlSignature",
    "isEnabled",
    "fromDate",
    "toDate",
    "deviceClientId",
    "url",
    "keys",
    "p256dh",
    "auth",
    "verificationCode",
    "expires",
    "types",
    "isActive",
    "property",
    "isAscending",
    "collation",
    "keyword",
    "operator",
    "conditions",
    "inMailbox",
    "before",
    "after",
    "minSize",
    "maxSize",
    "text",
    "body",
    "header",
    "hasKeyword",
    "filter",
    "sort",
    "position",
    "limit",
    "anchor",
    "anchorOffset",
    "calculateTotal",
    "collapseThreads",
    "ids",
    "properties",
    "onSuccessUpdateEmail",
    "onSuccessDestroyEmail",
    "onSuccessActivateScript",
    "header:From:asAddresses",
    "header:Subject:all",
    "mayRead",
    "keywords/$seen",
    "mailboxIds/x",
    "a/b/c",
]
ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 5, 1.5, -0.0, 1e308, 1 << 31, -(1 << 31) - 1, 1 << 32, (1 << 53) - 1, 1 << 53, -(1 << 53), 1 << 63,
    1 << 64, 10**60, "", "a", "\0", "a\0b", "\u202e", "é" * 300, "x" * 5_000, "#a", "#", "M1", "T1", "F1", "B1-0",
    "M9223372036854775807", "M99999999999999999999", "S1", "I1", "-1", "1", "9223372036854775808", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z", "2026-13-40T99:99:99Z", "2026-11-23T12:00:00Z", "\u0661", "²", "a@b", "a@" + "b" * 300, "@", "<>", "a\r\nBcc: b@c",
    "=?utf-8?b?//8=?=", "urn:x", "https://[::1", "http://127.0.0.1:1/", [], {}, [[]], [None], ["a", "a"], {"": ""}, {"a": None}, {"\0": 1},
    {"M1": {"keywords/\0": True}}, {"a": {"mailboxIds": {"#x": True}}}, {"a/b": 1, "a": {}},
)  # fmt: skip


def absurd(chance: random.Random, account: str, depth: int = 0) -> Any:
    """Make a value that a client of ours would not send."""
    kind = chance.random()
    if depth > 4 or kind < 0.55:
        return chance.choice((*ODD, account))
    if kind < 0.7:
        return [absurd(chance, account, depth + 1) for _ in range(chance.randrange(4))]
    names = [chance.choice((*NAMES, "a", "M1")) for _ in range(chance.randrange(1, 5))]
    return {name: absurd(chance, account, depth + 1) for name in names}


def call(chance: random.Random, name: str, account: str, number: int) -> list[Any]:
    """Make a call with some absurd arguments, the others left out or as they should be."""
    kind = REGISTRY[name].arguments
    arguments: dict[str, Any] = {}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.required or chance.random() < 0.4:
                arguments[field.encode_name] = absurd(chance, account)
        objects = {key for key in ("create", "update") if key in arguments}
        for key in objects:
            made = {chance.choice(NAMES): absurd(chance, account, 2) for _ in range(4)}
            arguments[key] = {chance.choice(("a", "M1", "F1", "singleton", account)): made}
        if issubclass(kind, AccountArguments) and chance.random() < 0.95:
            arguments["accountId"] = account
        if "childId" in arguments and chance.random() < 0.7:
            arguments["childId"] = account
    else:
        arguments["a"] = absurd(chance, account)
    return [name, arguments, str(number)]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(
        tmp_path_factory.mktemp("absurd") / "data", offset_of(662), only=f"{ONLY},ingest,gateway"
    ) as stack:
        yield stack


async def test_absurd_arguments_fail_nothing_inside(gateway: Stack) -> None:
    async with world_of(gateway) as world:
        address, _ = await world.person()
    client = JmapClient(f"http://127.0.0.1:{gateway.port('http')}", address, PASSWORD)
    chance = random.Random(20261123)
    wrong: list[Any] = []
    taken = refused = 0
    try:
        for _ in range(ROUNDS):
            names = list(REGISTRY)
            chance.shuffle(names)
            for start in range(0, len(names), 16):
                calls = [
                    call(chance, name, client.account, number) for number, name in enumerate(names[start : start + 16])
                ]
                answer = client.post({"using": USING, "methodCalls": calls})
                assert answer.status_code in {200, 400}, (answer.status_code, calls)
                if answer.status_code == 400:
                    refused += 1
                    continue
                taken += 1
                wrong += [
                    (calls[int(number)], result)
                    for _, result, number in answer.json()["methodResponses"]
                    if '"serverFail"' in json.dumps(result)
                ]
    finally:
        client.http.close()
    assert wrong == [], wrong[:3]
    assert taken > 10 * refused, (taken, refused)
