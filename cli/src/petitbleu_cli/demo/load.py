"""Loading the demo tenant: what is there stays, what was sent is not sent again."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_cli.demo.corpus import MESSAGES, letters
from petitbleu_cli.demo.people import ALICE
from petitbleu_cli.demo.smtp import send_all
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office

TENANT: Final = "demo"
DOMAIN: Final = "demo.test"
PASSWORD: Final = "petit-bleu-demo"  # noqa: S105 — written on the door: see the README
_CHUNK: Final = 25
_ADULTS: Final = (
    ("alice", ALICE.name, False), ("bob", "Bob Martin", False), ("empty1", "Vide Un", False), ("empty2", "Vide Deux", False),
    ("admin", "Administration", True),
)  # fmt: skip


async def load(office: Office, smtp: str) -> None:
    """Make tenant, domain and accounts, send Alice's mail, and print what a person needs to look around."""
    start = time.monotonic()
    stub = accounts_pb2_grpc.AdminServiceStub(office.peer("accounts").channel)
    await _unless_there(office, stub.CreateTenant, accounts_pb2.CreateTenantRequest(name=TENANT))
    await _unless_there(office, stub.CreateDomain, accounts_pb2.CreateDomainRequest(tenant=TENANT, name=DOMAIN))
    await office.call("accounts", stub.SetSignUp, accounts_pb2.SetSignUpRequest(domain=DOMAIN, open=True))
    made = await _people(office, stub)
    sent = await _mail(office, stub, smtp)
    app_password = await _app_password(office, stub)
    seconds = time.monotonic() - start
    data: dict[str, Any] = {
        "tenant": TENANT, "domain": DOMAIN, "accounts_made": made, "messages_sent": sent, "password": PASSWORD,
        "alice_app_password": app_password, "seconds": round(seconds, 2),
    }  # fmt: skip
    office.answer(
        data,
        [
            f"demo tenant          {DOMAIN}: {made} accounts made, {sent} messages sent in {seconds:.1f} s",
            f"alice's app password {app_password}",
        ],
    )


async def _unless_there(office: Office, method: Any, request: Any) -> None:
    try:
        await office.call("accounts", method, request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise


async def _people(office: Office, stub: accounts_pb2_grpc.AdminServiceAsyncStub) -> int:
    adults = [
        accounts_pb2.NewAccount(
            address=f"{name}@{DOMAIN}", display_name=full, password=PASSWORD,
            roles=[accounts_pb2.ROLE_TENANT_ADMIN] if admin else [],
        )
        for name, full, admin in _ADULTS
    ]  # fmt: skip
    # Zoé is nine: her guardians come first, and store and junior-guard know her before her address exists.
    zoe = accounts_pb2.NewAccount(
        address=f"zoe@{DOMAIN}", display_name="Zoé Martin", password=PASSWORD, guarded=True,
        guardians=[f"alice@{DOMAIN}", f"bob@{DOMAIN}"],
    )  # fmt: skip
    made = 0
    for wanted in (adults, [zoe]):
        request = accounts_pb2.CreateAccountsRequest(accounts=wanted)
        answer = await office.call("accounts", stub.CreateAccounts, request, seconds=60)
        for new, result in zip(wanted, answer.results, strict=True):
            if result.error not in {"", "already-exists", "pending"}:
                raise Failure(f"{new.address} was not made: {result.error}")
            made += not result.error
    return made


async def _mail(office: Office, stub: accounts_pb2_grpc.AdminServiceAsyncStub, smtp: str) -> int:
    """Send what no mark says was sent; a mark is put as soon as its messages are durable."""
    request = accounts_pb2.ListMarksRequest(tenant=TENANT)
    done = set((await office.call("accounts", stub.ListMarks, request)).marks)
    marks = {f"mail-{start:04}": start for start in range(0, MESSAGES, _CHUNK)}
    if set(marks) <= done:
        return 0
    mail = list(letters(datetime.now(UTC)))
    sent = 0
    for mark, start in marks.items():
        if mark in done:
            continue
        chunk = mail[start : start + _CHUNK]
        await _send(smtp, chunk)
        await office.call("accounts", stub.PutMark, accounts_pb2.PutMarkRequest(tenant=TENANT, mark=mark))
        sent += len(chunk)
    return sent


async def _send(smtp: str, chunk: Any) -> None:
    try:
        await send_all(smtp, chunk, ALICE.address)
    except* Failure as group:
        raise group.exceptions[0] from None


async def _app_password(office: Office, stub: accounts_pb2_grpc.AdminServiceAsyncStub) -> str:
    """Alice's app password: made once, and kept in a file of the operator's, since the platform keeps only a digest."""
    path = office.settings.data / "demo.app-password"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    request = accounts_pb2.CreateAppPasswordRequest(address=ALICE.address, label="demo")
    password = (await office.call("accounts", stub.CreateAppPassword, request)).password
    draft = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
    draft.replace(path)
    return password
