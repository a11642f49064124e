"""`petitbleu permits`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.delivery.v1 import permits_pb2 as pb
from petitbleu.delivery.v1 import permits_pb2_grpc
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands, count, limit_of

_COLUMNS = ["who", "id", "hour", "day", "suspended", "slowed", "changed"]


def _stub(office: Office) -> permits_pb2_grpc.PermitTermsServiceAsyncStub:
    return permits_pb2_grpc.PermitTermsServiceStub(office.peer("delivery").channel)


async def account_named(office: Office, who: str) -> int:
    """Return the account that an operator names by its address or its id. Raises `Failure` for none."""
    if who.isdecimal():
        return int(who)
    stub = accounts_pb2_grpc.DirectoryServiceStub(office.peer("accounts").channel)
    found = await office.call("accounts", stub.Resolve, accounts_pb2.ResolveRequest(addresses=[who]))
    ids = {target.account_id for target in found.resolutions[0].targets if not target.via_id}
    if len(ids) != 1:
        raise Failure("no account has this address; its id does as well")
    return ids.pop()


async def _subject(office: Office, options: Namespace) -> dict[str, Any]:
    if bool(options.who) == bool(options.tenant):
        raise Failure("name an account, or --tenant")
    if options.tenant:
        return {"scope": pb.TERMS_SCOPE_TENANT, "subject_id": options.tenant}
    return {"scope": pb.TERMS_SCOPE_ACCOUNT, "subject_id": await account_named(office, options.who)}


def _row(terms: pb.PermitTerms) -> dict[str, Any]:
    changed = datetime.fromtimestamp(terms.changed_ms / 1000, UTC).isoformat(timespec="seconds")
    return {
        "who": "tenant" if terms.scope == pb.TERMS_SCOPE_TENANT else "account", "id": terms.subject_id,
        "hour": terms.hour if terms.HasField("hour") else None, "day": terms.day if terms.HasField("day") else None,
        "suspended": terms.suspended, "slowed": terms.slowed, "changed": changed if terms.changed_ms else None,
    }  # fmt: skip


def _limit(most: int | None) -> str:
    return "as its plan says" if most is None else f"{most} recipients" if most else "without limit"


def _answer(office: Office, terms: pb.PermitTerms) -> None:
    row = _row(terms)
    line = f"{row['who']} {row['id']}: in an hour {_limit(row['hour'])}, in a day {_limit(row['day'])}"
    held = "; sending is suspended" if terms.suspended else "; sending is slowed" if terms.slowed else ""
    office.answer(row, [line + held])


async def _show(office: Office, options: Namespace) -> None:
    request = pb.GetTermsRequest(**await _subject(office, options))
    _answer(office, (await office.call("delivery", _stub(office).GetTerms, request)).terms)


async def _set(office: Office, options: Namespace) -> None:
    request = pb.SetTermsRequest(**await _subject(office, options), hour=options.hour, day=options.day)
    _answer(office, (await office.call("delivery", _stub(office).SetTerms, request)).terms)


async def _suspend(office: Office, options: Namespace) -> None:
    request = pb.SuspendRequest(**await _subject(office, options), suspended=True)
    _answer(office, (await office.call("delivery", _stub(office).Suspend, request)).terms)


async def _lift(office: Office, options: Namespace) -> None:
    request = pb.SuspendRequest(**await _subject(office, options), suspended=False)
    _answer(office, (await office.call("delivery", _stub(office).Suspend, request)).terms)


async def _list(office: Office, options: Namespace) -> None:
    request = pb.ListTermsRequest(limit=min(options.limit, 10_000))
    found = await office.call("delivery", _stub(office).ListTerms, request)
    office.table([_row(one) for one in found.terms], _COLUMNS)


async def _history(office: Office, options: Namespace) -> None:
    account_id = await account_named(office, options.who)
    request = pb.ListMeasuresRequest(account_id=account_id, limit=min(options.limit, 1_000))
    found = await office.call("delivery", _stub(office).ListMeasures, request)
    office.table([_measure(one) for one in found.measures], ["at", "done", "signs", "figures"])


def _measure(one: pb.Measure) -> dict[str, Any]:
    at = datetime.fromtimestamp(one.at_ms / 1000, UTC).isoformat(timespec="seconds")
    done = pb.MeasureStage.Name(one.stage).removeprefix("MEASURE_STAGE_").lower()
    return {"at": at, "done": done, "signs": ", ".join(one.signs), "figures": one.figures}


def _add_subject(parser: ArgumentParser) -> None:
    parser.add_argument("who", nargs="?", default="", help="an account: its address or its id")
    parser.add_argument("--tenant", type=int, default=0, help="id of a tenant: all its accounts together")


def add_to(commands: Commands) -> None:
    """Add the commands."""
    permits = commands.group("permits", "how much accounts and tenants may send")
    listing = permits.add("list", "list those with limits of their own, or suspended", _list)
    listing.add_argument("--limit", type=count, default=100)
    _add_subject(permits.add("show", "show what is said of an account or a tenant", _show))
    setting = permits.add("set", "set limits of their own; one that is not given is again that of the plan", _set)
    _add_subject(setting)
    setting.add_argument("--hour", type=limit_of, help="most recipients in an hour, or none")
    setting.add_argument("--day", type=limit_of, help="most recipients in a day, or none")
    _add_subject(permits.add("suspend", "take no more mail from them to be sent", _suspend))
    _add_subject(permits.add("lift", "let those who are suspended or slowed send again", _lift))
    history = permits.add("history", "list what was done about an account because of what it sent, and why", _history)
    history.add_argument("who", help="an account: its address or its id")
    history.add_argument("--limit", type=count, default=100)
