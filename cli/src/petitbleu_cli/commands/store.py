"""`petitbleu store` and `petitbleu keys`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands

_LONG_SECONDS: Final = 24 * 3600.0


def _stub(office: Office) -> mailbox_pb2_grpc.AdminServiceAsyncStub:
    return mailbox_pb2_grpc.AdminServiceStub(office.peer("store").channel)


def counts(message: Message) -> dict[str, int]:
    """Return a message of counts as a dictionary, zeros included."""
    found = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return {name: int(value) for name, value in found.items()}


def _answer_counts(office: Office, message: Message) -> None:
    found = counts(message)
    office.answer(found, [f"{name.replace('_', ' '):20} {value}" for name, value in found.items()])


def _checked(response: mailbox_pb2.VerifyResponse, *, bodies: bool) -> str:
    read = f"{response.octets} octets" if bodies else "no body read"
    return f"{response.blobs} blobs, {response.messages} messages, {read}"


async def _verify(office: Office, options: Namespace) -> int:
    peer = office.peer("store")
    findings: list[str] = []
    last: mailbox_pb2.VerifyResponse | None = None
    said = ""
    request = mailbox_pb2.VerifyRequest(bodies=options.bodies)
    async for last in _stub(office).Verify(request, timeout=_LONG_SECONDS, metadata=peer.metadata()):
        if last.finding:
            findings.append(last.finding)
            office.progress(last.finding)
        elif not last.done and said != (line := _checked(last, bodies=options.bodies) + " so far"):
            said = line
            office.progress(line)
    if last is None or not last.done:
        raise Failure("store ended the verification before its end")
    data: dict[str, Any] = {
        "blobs": last.blobs, "messages": last.messages, "octets": last.octets, "findings": findings,
    }  # fmt: skip
    verdict = f"{len(findings)} findings" if findings else "all is well"
    office.answer(data, [f"checked {_checked(last, bodies=options.bodies)}: {verdict}"])
    return 1 if findings else 0


async def _status(office: Office, _options: Namespace) -> None:
    _answer_counts(office, await office.call("store", _stub(office).GetStatus, mailbox_pb2.GetStatusRequest()))


async def _pack(office: Office, _options: Namespace) -> None:
    request = mailbox_pb2.PackRequest()
    _answer_counts(office, await office.call("store", _stub(office).Pack, request, seconds=_LONG_SECONDS))


async def _compact(office: Office, _options: Namespace) -> None:
    request = mailbox_pb2.CompactRequest()
    _answer_counts(office, await office.call("store", _stub(office).Compact, request, seconds=_LONG_SECONDS))


async def _rotate(office: Office, _options: Namespace) -> None:
    request = mailbox_pb2.RotateKeysRequest()
    done = await office.call("store", _stub(office).RotateKeys, request, seconds=_LONG_SECONDS)
    office.answer({"rotated": done.rotated}, [f"{done.rotated} keys wrapped under the active key"])


def add_to(commands: Commands) -> None:
    """Add the commands."""
    store = commands.group("store", "what is stored")
    verify = store.add("verify", "check all that is stored; its bodies too with --bodies", _verify)
    verify.add_argument("--bodies", action="store_true", help="read every body too")
    store.add("status", "count what is stored and what waits", _status)
    store.add("pack", "move hot bodies to S3 now", _pack)
    store.add("compact", "remove dead space from segments now", _compact)
    keys = commands.group("keys", "keys that wrap the accounts' keys")
    keys.add("rotate", "wrap every account's key under the active key", _rotate)
