"""Whoever is not the child reads nothing of its mail: every method and command there is is called, and no canary comes back.

The lists are the registry's, the descriptors' and the parser's own: a new method or command is tried without a word here. Guardians, an
administrator of the tenant and a teacher of the child's class, which is approved, come through the gateway, and with their principals to the
services behind it; the platform's administrator has the operator's token and the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import io
import json
import os
import pkgutil
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from msgspec import inspect
from tests.conformance.jmap_client import JmapClient
from tests.integration.delivery_world import DOMAIN, ONLY, PASSWORD, DeliveryWorld, prepared_stack, world_of
from tests.integration.junior.conftest import Family
from tests.ports import offset_of

import petitbleu
from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.junior_guard.v1 import family_pb2, family_pb2_grpc, schools_pb2, schools_pb2_grpc
from petitbleu.store.v1 import accept_pb2
from petitbleu_cli.__main__ import _run
from petitbleu_cli.options import make_parser
from petitbleu_dev.stack import Stack
from petitbleu_gateway.jmap.envelope import CAPABILITIES
from petitbleu_gateway.methods.family import FamilyMethods
from petitbleu_gateway.methods.filter_rules import FilterRulesMethods
from petitbleu_gateway.methods.guardians import GuardianMethods
from petitbleu_gateway.methods.listed_sender import ListedSenderMethods
from petitbleu_gateway.methods.push_subscription import PushSubscriptionMethods
from petitbleu_gateway.methods.registry import build_registry
from petitbleu_gateway.methods.schools import SchoolMethods
from petitbleu_kit.identity import Principal, principal_claims

CANARY = "Kanarienvogel"
LETTER = (
    f"From: {CANARY}0 <pal@else.test>\r\nSubject: {CANARY}1 is secret\r\nMessage-ID: <{CANARY}2@else.test>\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
    f"{CANARY}3 in the text\r\n--b\r\nContent-Type: text/csv; name={CANARY}4.csv\r\nContent-Disposition: attachment\r\n\r\n{CANARY}5,1\r\n--b--\r\n"
).encode()
NOBODY: Any = None
REGISTRY = build_registry(
    PushSubscriptionMethods(NOBODY, NOBODY, b"", lambda _account: None), NOBODY, 0, FamilyMethods(NOBODY, NOBODY), ListedSenderMethods(NOBODY),
    FilterRulesMethods(NOBODY), GuardianMethods(NOBODY), SchoolMethods(NOBODY),
)  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(
        tmp_path_factory.mktemp("canary") / "data", offset_of(962), only=f"{ONLY},ingest,gateway"
    ) as stack:
        yield stack


@pytest.fixture
async def world(served: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(served) as made:
        yield made


class Secrets:
    """A child with a friend's letter in its mailbox and a stranger's at the door, and the names of all of it."""

    def __init__(self, world: DeliveryWorld, family: Family, client: JmapClient, accepted: list[bytes]) -> None:
        self.family = family
        self.accepted = accepted
        self.message_id = 0
        (email,) = client.call("Email/query")["ids"]
        (self.email,) = client.call("Email/get", ids=[email])["list"]
        assert CANARY in json.dumps(self.email)
        self.child = client.account
        self.blobs = [self.email["blobId"], *(part["blobId"] for part in self.email["attachments"])]
        self.boxes = list(self.email["mailboxIds"])
        self.tenant_id = world._tenants[family.child_id]

    def argument(self, name: str, account: str) -> Any:
        """What one would say to read the child's mail, by the name of an argument; None where there is no use in it."""
        ids = [self.email["id"], self.email["threadId"], *self.boxes, self.child]
        return {
            "accountId": account, "ids": ids, "fromAccountId": self.child, "blobIds": self.blobs, "emailIds": [self.email["id"]], "childId": self.child,
            "sinceState": "0", "sinceQueryState": "0", "filter": {"text": CANARY}, "properties": None, "fetchAllBodyValues": True,
            "typeNames": ["Email", "Mailbox", "Thread"], "blobId": self.blobs[0], "onDestroyRemoveEmails": False,
            "create": {"x": {"id": self.email["id"], "mailboxIds": {self.boxes[0]: True}, "blobId": self.blobs[0], "emailId": self.email["id"]}},
            "emails": {"x": {"blobId": self.blobs[0], "mailboxIds": {self.boxes[0]: True}}}, "id": "cAAAA", "level": 4, "address": "pal@else.test",
            "action": "approve",
        }.get(name)  # fmt: skip


@pytest.fixture
async def secrets(world: DeliveryWorld, served: Stack, family: Family) -> Secrets:
    passes = accept_pb2.AuthenticationVerdicts(from_authenticated=True)
    await world.guard_admin("Approve", _admin("ApproveRequest", account_id=family.child_id, address="pal@else.test"))
    kept = await world.accept(family.child, mail_from="pal@else.test", body=LETTER, verdicts=passes)
    held = await world.accept(
        family.child, mail_from="eve@else.test", body=LETTER.replace(b"pal@", b"eve@"), verdicts=passes
    )
    await world.settled([*kept, *held])
    client = await asyncio.to_thread(JmapClient, f"http://127.0.0.1:{served.port('http')}", family.child, PASSWORD)
    found = await asyncio.to_thread(Secrets, world, family, client, [*kept, *held])
    (found.message_id,) = await world.messages(family.child_id)
    return found


def _admin(name: str, **fields: Any) -> Message:
    made: Message = getattr(importlib.import_module("petitbleu.junior_guard.v1.junior_guard_pb2"), name)(**fields)
    return made


ROLES = {"head": accounts_pb2.ROLE_TENANT_ADMIN, "teacher": accounts_pb2.ROLE_TEACHER}


async def _known(world: DeliveryWorld, name: str) -> tuple[str, int]:
    """An administrator of the tenant, or a teacher; made once."""
    found = await world.admin("ListAccounts", accounts_pb2.ListAccountsRequest(domain=DOMAIN))
    for one in found.accounts:
        if one.address == f"{name}@{DOMAIN}":
            world._tenants[one.account_id] = one.tenant_id
            return one.address, one.account_id
    wanted = accounts_pb2.NewAccount(address=f"{name}@{DOMAIN}", password=PASSWORD, roles=[ROLES[name]])
    made = await world.admin("CreateAccounts", accounts_pb2.CreateAccountsRequest(accounts=[wanted]))
    account = made.results[0].account
    world._tenants[account.account_id] = account.tenant_id
    return account.address, account.account_id


async def _teacher(world: DeliveryWorld, secrets: Secrets) -> tuple[str, int]:
    """A teacher of a class that the child is in, and that its mother approved."""
    address, account = await _known(world, "teacher")
    ends = int(time.time() * 1000) + 86_400_000
    members = [
        schools_pb2.ClassMember(address=address, role=schools_pb2.CLASS_ROLE_TEACHER),
        schools_pb2.ClassMember(address=secrets.family.child, role=schools_pb2.CLASS_ROLE_CHILD),
    ]
    stub = schools_pb2_grpc.SchoolServiceStub
    school_class = schools_pb2.SchoolClass(name="CM2", ends_at_ms=ends)
    put = schools_pb2.PutClassRequest(tenant_id=secrets.tenant_id, school_class=school_class)
    class_id = (await world.call("junior-guard", "operator", stub, "PutClass", put)).class_id
    roster = schools_pb2.PutRosterRequest(tenant_id=secrets.tenant_id, class_id=class_id, members=members)
    assert not (await world.call("junior-guard", "operator", stub, "PutRoster", roster)).bad_rows
    approve = family_pb2.SetGroupVoiceRequest(
        account_id=secrets.family.child_id, group_id=class_id, action=family_pb2.VOICE_ACTION_APPROVE
    )
    mother = world.principal(secrets.family.mother_id)
    await world.call("junior-guard", "gateway", family_pb2_grpc.FamilyServiceStub, "SetGroupVoice", approve, mother)
    return address, account


def _principal(world: DeliveryWorld, account: int, *roles: str) -> str:
    """A principal with all the roles that its person has."""
    who = Principal(account, world._tenants[account], ("person", *roles), 0)
    return world.signer("accounts").sign("petitbleu", principal_claims(who), 60)


def _calls(secrets: Secrets, account: str) -> Iterator[list[Any]]:
    for name, method in REGISTRY.items():
        described = inspect.type_info(method.arguments)
        fields = [one.encode_name for one in described.fields] if isinstance(described, inspect.StructType) else ["ids"]
        given = {field: secrets.argument(field, account) for field in fields}
        yield [name, {field: value for field, value in given.items() if value is not None}, "c"]


def _through_the_gateway(url: str, address: str, secrets: Secrets) -> int:
    client = JmapClient(url, address, PASSWORD)
    tried = 0
    for account in (client.account, secrets.child):
        for call in _calls(secrets, account):
            if account == secrets.child and call[0] in {"Core/echo", "PushSubscription/get", "PushSubscription/set"}:
                continue
            if call[0] == "Core/echo":
                continue  # it says what it is told
            answer = client.post({"using": sorted(CAPABILITIES), "methodCalls": [call]})
            said = answer.text
            for echoed in (CANARY + '"',):
                said = said.replace(echoed, "")
            assert CANARY not in said, (call, answer.text)
            tried += 1
        for path in (
            *(f"/jmap/download/{account}/{blob}/x" for blob in secrets.blobs),
            *(f"/api/messages/{account}/{one}/rendering" for one in (secrets.email["id"], *secrets.blobs)),
        ):
            answer = client.http.get(path)
            assert answer.status_code == 404, (path, answer.text)
            assert CANARY not in answer.text
    client.http.close()
    return tried


def _shown_to_the_child(url: str, secrets: Secrets) -> int:
    """How many of the same calls show it to the child itself."""
    client = JmapClient(url, secrets.family.child, PASSWORD)
    calls = [
        call
        for call in _calls(secrets, secrets.child)
        if call[0] in {"Email/get", "Email/parse", "Blob/get", "Thread/get"}
    ]
    answers = [client.post({"using": sorted(CAPABILITIES), "methodCalls": [call]}).text for call in calls]
    client.http.close()
    return sum(CANARY in answer for answer in answers)


async def test_no_jmap_method_and_no_door_shows_it(world: DeliveryWorld, served: Stack, secrets: Secrets) -> None:
    url = f"http://127.0.0.1:{served.port('http')}"
    head, _ = await _known(world, "head")
    teacher, _ = await _teacher(world, secrets)
    for address in (secrets.family.mother, head, teacher):
        assert await asyncio.to_thread(_through_the_gateway, url, address, secrets) >= len(REGISTRY)
    assert await asyncio.to_thread(_shown_to_the_child, url, secrets) > 1


def _modules() -> list[Any]:
    return [
        importlib.import_module(one.name)
        for one in pkgutil.walk_packages(petitbleu.__path__, "petitbleu.")
        if one.name.endswith("_pb2")
    ]


def _filled(kind: Descriptor, secrets: Secrets, depth: int = 0) -> Message:
    """A request that asks for all that can be had of the child."""
    made = GetMessageClass(kind)()
    for field in kind.fields:
        if depth > 3 or (field.containing_oneof is not None and field is not field.containing_oneof.fields[0]):
            continue
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                continue
            inner = _filled(field.message_type, secrets, depth + 1)
            if field.is_repeated:
                getattr(made, field.name).append(inner)
            else:
                getattr(made, field.name).CopyFrom(inner)
            continue
        value = _value(field, secrets)
        if value is not None:
            if field.is_repeated:
                getattr(made, field.name).append(value)
            else:
                setattr(made, field.name, value)
    return made


def _value(field: FieldDescriptor, secrets: Secrets) -> Any:
    name = field.name
    words = {"address": secrets.family.child, "login": secrets.family.child, "tenant": "route", "domain": DOMAIN}
    numbers = {"tenant": secrets.tenant_id, "account": secrets.family.child_id, "limit": 100, "max": 100}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return secrets.accepted[0] if "id" in name else None
    if field.type == FieldDescriptor.TYPE_STRING:
        return next((word for part, word in words.items() if part in name), None)
    if field.type == FieldDescriptor.TYPE_BOOL or field.enum_type is not None:
        return 1 if field.enum_type is not None else False
    return next(
        (number for part, number in numbers.items() if part in name), secrets.message_id if "message" in name else 0
    )


async def _asked(peer: Any, path: str, method: Any, request: Message, principal: str) -> bytes:
    """All that a method answers, or the text of its refusal."""
    answer = GetMessageClass(method.output_type).FromString
    metadata = peer.metadata(principal)
    encode = type(request).SerializeToString
    try:
        if method.client_streaming:
            call = (
                peer.channel.stream_stream(path, encode, answer)
                if method.server_streaming
                else peer.channel.stream_unary(path, encode, answer)
            )
            found = call(iter([request]), metadata=metadata, timeout=5)
        else:
            one = (
                peer.channel.unary_stream(path, encode, answer)
                if method.server_streaming
                else peer.channel.unary_unary(path, encode, answer)
            )
            found = one(request, metadata=metadata, timeout=5)
        if method.server_streaming:
            return b"".join([piece.SerializeToString() async for piece in found])
        return bytes((await found).SerializeToString())
    except grpc.aio.AioRpcError as error:
        return (error.details() or "").encode()


ENDS = {"CloseAccount", "SetAccountState", "SetPassword"}
"""Methods after which there is no child any more, or nobody: they answer nothing of mail, and come last."""


async def test_no_grpc_method_shows_it_to_the_operator_or_to_other_peoples_principals(
    world: DeliveryWorld, secrets: Secrets
) -> None:
    methods = [
        (service.full_name, method)
        for module in _modules()
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert len(methods) > 100
    _, head = await _known(world, "head")
    _, teacher = await _teacher(world, secrets)
    homes = {"accounts": "accounts", "delivery": "delivery", "junior_guard": "junior-guard", "store": "store"}
    people = [(secrets.family.mother_id, "guardian"), (head, "tenant-admin"), (teacher, "teacher")]
    child = world.principal(secrets.family.child_id)
    shown = 0
    for name, method in sorted(methods, key=lambda one: one[1].name in ENDS):
        home = homes[name.split(".")[1]]
        request = _filled(method.input_type, secrets)
        askers = [("operator", "")]
        if method.name not in ENDS:
            askers += [("gateway", _principal(world, *one)) for one in people]
            own = await _asked(world.peer(home, "gateway"), f"/{name}/{method.name}", method, request, child)
            shown += CANARY.encode() in own
        for caller, principal in askers:
            found = await _asked(world.peer(home, caller), f"/{name}/{method.name}", method, request, principal)
            assert CANARY.encode() not in found, (name, method.name, caller)
    assert shown  # the same questions show it to the child itself


def _commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield from _commands(one, (*words, name))
            return
    yield words, parser


def _arguments(parser: argparse.ArgumentParser, secrets: Secrets) -> list[str]:
    """Arguments with which a command may be run on the child."""
    found: list[str] = []
    for action in parser._actions:
        if action.dest in {"help", "json"} or not (
            action.required or (not action.option_strings and action.nargs in {"?", "*"})
        ):
            continue
        value = str(next(iter(action.choices))) if action.choices else _word(action, secrets)
        found += [action.option_strings[0], value] if action.option_strings else [value]
    for group in parser._mutually_exclusive_groups:
        if group.required:
            one = group._group_actions[0]
            found += one.option_strings[:1] if one.nargs == 0 else [*one.option_strings[:1], _word(one, secrets)]
    return found


def _word(action: argparse.Action, secrets: Secrets) -> str:
    """A value that the command takes, the child's own if it can be."""
    message = str(UUID(bytes=secrets.accepted[1]))
    dest = action.dest
    first = (
        message
        if dest in {"message", "accepted", "id"}
        else DOMAIN
        if dest in {"domain", "destination"}
        else "route"
        if dest == "tenant"
        else ""
    )
    for word in filter(None, (first, secrets.family.child, message, f"{message}/0", "1", "1M", "2099-01-01")):
        with contextlib.suppress(argparse.ArgumentTypeError, ValueError):
            if callable(action.type):
                action.type(word)
            return word
    raise AssertionError(dest)


LAST = ("close", "delete", "drop", "disable", "password", "erase", "suspend")
LEFT_OUT = {("demo", "load"): "makes accounts and mail of its own", ("store", "restore"): "works on a stopped store"}


async def test_no_command_shows_it(
    world: DeliveryWorld, served: Stack, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETITBLEU_DATA", str(served.layout.data))
    commands = sorted(_commands(make_parser()), key=lambda one: one[0][-1] in LAST)
    ran = 0
    for words, parser in commands:
        if words in LEFT_OUT:
            continue
        line = [*words, *_arguments(parser, secrets)]
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            understood = make_parser().parse_args(line)
            await asyncio.wait_for(_run(line), 60)
        assert understood.run
        assert CANARY not in out.getvalue() + error.getvalue(), line
        ran += 1
    assert ran > 40
    assert os.environ["PETITBLEU_DATA"] == str(served.layout.data)
