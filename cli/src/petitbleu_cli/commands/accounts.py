"""`petitbleu account`."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands, count, octets

_ROLES: Final = {"teacher": accounts_pb2.ROLE_TEACHER, "tenant-admin": accounts_pb2.ROLE_TENANT_ADMIN}
_PROTOCOLS: Final = ("jmap", "smtp", "imap", "dav", "sieve")
# A call with passwords waits for its hashes (a tenth of a second each), so it is short.
_BATCH: Final = 1_000
_BATCH_WITH_PASSWORD: Final = 40
_BATCH_SECONDS: Final = 120.0
_PROGRESS_SECONDS: Final = 2.0
_WHY: Final = {
    "already-exists": "the address is taken",
    "unknown-domain": "the domain is not hosted here: make it with `petitbleu domain create`",
    "bad-address": "this is not an address",
    "bad-password": "a password has at least 8 characters, 1,024 octets at most",
    "bad-guardian": "guardians are active adults of the same tenant; a guarded account has at least one, another none",
    "bad-account": "its name, language, quota or role cannot be",
    "pending": "recorded; it appears by itself once junior-guard answers",
}


def _stub(office: Office) -> accounts_pb2_grpc.AdminServiceAsyncStub:
    return accounts_pb2_grpc.AdminServiceStub(office.peer("accounts").channel)


def row_of(account: accounts_pb2.Account) -> dict[str, Any]:
    """Return an account as the operator sees it."""
    return {
        "address": account.address,
        "account_id": account.account_id,
        "name": account.display_name,
        "state": accounts_pb2.AccountState.Name(account.state).removeprefix("ACCOUNT_STATE_").lower(),
        "roles": [
            accounts_pb2.Role.Name(role).removeprefix("ROLE_").lower().replace("_", "-") for role in account.roles
        ],
        "quota_octets": account.quota_octets,
        "guarded": account.guarded,
        "language": account.language,
        "other_addresses": list(account.other_addresses),
        "tenant_id": account.tenant_id,
    }


def _read_password() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Failure("no password on standard input")
    return password


def _wanted(options: Namespace, password: str) -> Iterator[accounts_pb2.NewAccount]:
    for number in range(options.start, options.start + options.count):
        yield accounts_pb2.NewAccount(
            address=options.address.replace("%d", str(number)), display_name=options.name.replace("%d", str(number)),
            password=password, quota_octets=options.quota, guarded=options.guarded,
            roles=[_ROLES[role] for role in options.role], language=options.language, guardians=options.guardian,
        )  # fmt: skip


async def _create(office: Office, options: Namespace) -> int:
    if options.count > 1 and "%d" not in options.address:
        raise Failure("with --count the address needs a %d for the number")
    password = _read_password() if options.password_stdin else options.password or ""
    batch = _BATCH_WITH_PASSWORD if password else _BATCH
    stub = _stub(office)
    made: list[dict[str, Any]] = []
    errors: Counter[str] = Counter()
    start = said = time.monotonic()
    wanted = _wanted(options, password)
    while accounts := list(islice(wanted, batch)):
        request = accounts_pb2.CreateAccountsRequest(accounts=accounts)
        answer = await office.call("accounts", stub.CreateAccounts, request, seconds=_BATCH_SECONDS)
        for new, result in zip(accounts, answer.results, strict=True):
            if result.error:
                errors[result.error] += 1
                made.append({"address": new.address, "error": result.error})
            else:
                made.append(row_of(result.account))
        if (now := time.monotonic()) - said > _PROGRESS_SECONDS:
            said = now
            office.progress(f"{len(made)} of {options.count} accounts, {len(made) / (now - start):.0f} a second")
    done = len(made) - errors.total()
    seconds = time.monotonic() - start
    if options.count == 1:
        office.answer(made[0], [f"account {made[0]['address']} made"] if done else [])
    else:
        summary = {"made": done, "errors": dict(errors), "seconds": round(seconds, 3)}
        office.answer(summary, [f"{done} accounts made in {seconds:.1f} s ({done / max(seconds, 0.001):.0f} a second)"])
    if not errors:
        return 0
    reasons = "; ".join(f"{_WHY.get(error, error)} ({number})" for error, number in errors.most_common())
    what = f"{errors.total()} of {options.count} accounts"
    if options.count == 1:
        what, reasons = f"account {made[0]['address']}", reasons.removesuffix(" (1)")
    print(f"petitbleu: {what} not made: {reasons}", file=sys.stderr)
    return 1


async def _list(office: Office, options: Namespace) -> None:
    stub = _stub(office)
    rows: list[dict[str, Any]] = []
    after = 0
    while True:
        limit = min(1_000, options.limit - len(rows))
        request = accounts_pb2.ListAccountsRequest(domain=options.domain, after_account_id=after, limit=limit)
        page = (await office.call("accounts", stub.ListAccounts, request)).accounts
        rows += [row_of(account) for account in page]
        if len(page) < limit or len(rows) >= options.limit:
            break
        after = page[-1].account_id
    office.table(rows, ["address", "account_id", "name", "state", "roles", "quota_octets", "guarded"])


async def _set_state(office: Office, options: Namespace) -> None:
    request = accounts_pb2.SetAccountStateRequest(address=options.address, state=options.state)
    await office.call("accounts", _stub(office).SetAccountState, request)
    state = accounts_pb2.AccountState.Name(options.state).removeprefix("ACCOUNT_STATE_").lower()
    office.answer({"address": options.address, "state": state}, [f"account {options.address} is {state}"])


async def _password(office: Office, options: Namespace) -> None:
    password = _read_password() if options.password_stdin else options.password
    request = accounts_pb2.SetPasswordRequest(address=options.address, password=password)
    await office.call("accounts", _stub(office).SetPassword, request)
    office.answer({"address": options.address}, [f"account {options.address} has a new password; its sessions ended"])


async def _quota(office: Office, options: Namespace) -> None:
    request = accounts_pb2.SetQuotaRequest(address=options.address, quota_octets=options.quota)
    await office.call("accounts", _stub(office).SetQuota, request)
    said = f"{options.quota} octets" if options.quota else "no limit"
    office.answer(
        {"address": options.address, "quota_octets": options.quota}, [f"account {options.address} has {said}"]
    )


async def _close(office: Office, options: Namespace) -> None:
    if not options.yes and sys.stdin.isatty():
        print(f"This erases {options.address} and its mail for ever. Type the address to go on: ", end="", flush=True)
        if sys.stdin.readline().strip() != options.address:
            raise Failure("not closed")
    request = accounts_pb2.CloseAccountRequest(address=options.address)
    await office.call("accounts", _stub(office).CloseAccount, request, seconds=60)
    office.answer({"address": options.address, "state": "closed"}, [f"account {options.address} is closed"])


async def _app_password(office: Office, options: Namespace) -> None:
    request = accounts_pb2.CreateAppPasswordRequest(
        address=options.address, label=options.label, protocols=options.protocol
    )
    made = await office.call("accounts", _stub(office).CreateAppPassword, request)
    data = {"address": options.address, "app_password": made.password, "app_password_id": made.app_password_id}
    office.answer(data, [made.password])


def _add_password(parser: ArgumentParser, *, none: bool) -> None:
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--password", help="the password; seen by whoever sees this machine's processes")
    ways.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    if none:
        ways.add_argument("--no-password", action="store_true", help="nobody logs in until a password is set")


def add_to(commands: Commands) -> None:
    """Add the commands."""
    accounts = commands.group("account", "people and their mailboxes")
    create = accounts.add("create", "make an account, or many", _create)
    create.add_argument("address", help="its address; with --count, %%d is the number")
    create.add_argument("--count", type=count, default=1, help="how many")
    create.add_argument("--start", type=int, default=0, help="first number, 0 unless given")
    _add_password(create, none=True)
    create.add_argument("--name", default="", help="name of the person")
    create.add_argument(
        "--quota", type=octets, default=0, help="octets, or with K, M, G, T; the platform's unless given"
    )
    create.add_argument("--language", default="", help="language tag, such as fr")
    create.add_argument("--guarded", action="store_true", help="a child's account")
    create.add_argument("--guardian", action="append", default=[], help="address of a guardian; may be repeated")
    create.add_argument("--role", action="append", default=[], choices=sorted(_ROLES))
    found = accounts.add("list", "list accounts", _list)
    found.add_argument("--domain", default="", help="only those of this domain")
    found.add_argument("--limit", type=count, default=1_000, help="at most so many, 1000 unless given")
    for name, text, state in (
        ("disable", "refuse its mail and logins", accounts_pb2.ACCOUNT_STATE_DISABLED),
        ("enable", "let it work again", accounts_pb2.ACCOUNT_STATE_ACTIVE),
    ):
        parser = accounts.add(name, text, _set_state)
        parser.add_argument("address")
        parser.set_defaults(state=state)
    password = accounts.add("password", "replace its password and end its sessions", _password)
    password.add_argument("address")
    _add_password(password, none=False)
    quota = accounts.add("quota", "set what it may store", _quota)
    quota.add_argument("address")
    quota.add_argument("quota", type=octets, help="octets, or with K, M, G, T; 0 or none: no limit")
    close = accounts.add("close", "erase it for ever", _close)
    close.add_argument("address")
    close.add_argument("--yes", action="store_true", help="do not ask")
    app = accounts.add("app-password", "make a random password for some protocols; it is shown once", _app_password)
    app.add_argument("address")
    app.add_argument("--label", default="", help="what it is for")
    app.add_argument(
        "--protocol", action="append", default=[], choices=_PROTOCOLS, help="may be repeated; all unless given"
    )
