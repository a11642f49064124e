"""`petitbleu domain check`, `keys` and `sts`: what hosted domains say about their mail, which is delivery's."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from datetime import UTC, datetime
from typing import Any

from petitbleu.delivery.v1 import domains_pb2 as pb
from petitbleu.delivery.v1 import domains_pb2_grpc
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands
from petitbleu_mail.addresses import canonical_domain
from petitbleu_mail.mta_sts import MAX_AGE

_TXT_OCTETS = 255


def _stub(office: Office) -> domains_pb2_grpc.DomainServiceAsyncStub:
    return domains_pb2_grpc.DomainServiceStub(office.peer("delivery").channel)


def zone_line(name: str, text: str) -> str:
    """Return a TXT record as a zone file has it; a long text goes in several strings (RFC 1035 §3.3)."""
    pieces = [text[at : at + _TXT_OCTETS] for at in range(0, len(text), _TXT_OCTETS)]
    return f"{name}. IN TXT " + " ".join(f'"{piece}"' for piece in pieces)


def _when(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="seconds")


def _key(key: pb.DomainKey) -> dict[str, Any]:
    return {
        "selector": key.selector, "algorithm": key.algorithm,
        "state": pb.DomainKeyState.Name(key.state).removeprefix("DOMAIN_KEY_STATE_").lower(),
        "made": _when(key.made_at_ms), "since": _when(key.since_ms), "name": key.record_name, "text": key.record_text,
    }  # fmt: skip


async def _keys(office: Office, options: Namespace) -> None:
    if options.rotate or options.now:
        request = pb.RotateDomainKeysRequest(domain=options.domain, now=options.now)
        keys = (await office.call("delivery", _stub(office).RotateDomainKeys, request)).keys
    else:
        listed = await office.call(
            "delivery", _stub(office).GetDomainKeys, pb.GetDomainKeysRequest(domain=options.domain)
        )
        keys = listed.keys
    rows = [_key(key) for key in keys]
    if office.as_json:
        office.answer(rows, [])
        return
    office.table(rows, ["selector", "algorithm", "state", "since"])
    office.answer(None, ["", "records to publish:"])
    for key, row in zip(keys, rows, strict=True):
        if key.state != pb.DOMAIN_KEY_STATE_RETIRED:
            office.answer(None, [zone_line(row["name"], row["text"])])


def _state(state: int) -> str:
    return pb.RecordState.Name(pb.RecordState.ValueType(state)).removeprefix("RECORD_STATE_").lower()


async def _check(office: Office, options: Namespace) -> int:
    request = pb.CheckDomainRequest(domain=options.domain)
    checked = await office.call("delivery", _stub(office).CheckDomain, request, seconds=60)
    rows: list[dict[str, Any]] = [
        {
            "record": one.kind, "name": one.name, "type": one.type, "state": _state(one.state), "required": one.required,
            "found": list(one.found), "paste": list(one.wanted), "note": one.note,
        }
        for one in checked.findings
    ]  # fmt: skip
    is_right = all(one.state == pb.RECORD_STATE_RIGHT for one in checked.findings if one.required)
    is_right &= not any(one.state == pb.RECORD_STATE_WRONG for one in checked.findings)
    lines = []
    for row in rows:
        optional = "" if row["required"] or row["state"] == "right" else "  (good to have)"
        lines.append(f"{row['state']:8} {row['record']:15} {row['name']}{optional}")
        lines += [f"           {row['note']}"] if row["note"] else []
        if row["state"] in {"wrong", "unknown"}:
            lines += [f"           found: {line}" for line in row["found"]]
        lines += [f"           paste: {line}" for line in row["paste"]]
    office.answer({"domain": checked.domain, "right": is_right, "records": rows}, lines)
    return 0 if is_right else 1


def _policy(domain: str, policy: pb.StsPolicy) -> dict[str, Any]:
    return {
        "domain": domain, "mode": pb.StsMode.Name(policy.mode).removeprefix("STS_MODE_").lower(), "mx": list(policy.mx),
        "max_age": policy.max_age_seconds, "id": policy.id, "text": policy.text,
    }  # fmt: skip


async def _sts(office: Office, options: Namespace) -> None:
    if not options.mode:
        if options.mx or options.max_age:
            raise Failure("name the mode too: --mode")
        stub = domains_pb2_grpc.StsPolicyServiceStub(office.peer("delivery").channel)
        found = await office.call("delivery", stub.GetStsPolicy, pb.GetStsPolicyRequest(domain=options.domain))
        policy = found.policy
    else:
        mode = (
            pb.STS_MODE_UNSPECIFIED if options.mode == "off" else pb.StsMode.Value(f"STS_MODE_{options.mode.upper()}")
        )
        wanted = pb.StsPolicy(mode=mode, mx=options.mx, max_age_seconds=options.max_age)
        request = pb.SetStsPolicyRequest(domain=options.domain, policy=wanted)
        policy = (await office.call("delivery", _stub(office).SetStsPolicy, request)).policy
    if policy.mode == pb.STS_MODE_UNSPECIFIED:
        office.answer({"domain": options.domain, "mode": None}, [f"{options.domain} has no MTA-STS policy"])
        return
    name = canonical_domain(options.domain)
    record = zone_line(f"_mta-sts.{name}", f"v=STSv1; id={policy.id}")
    said = [
        f"served at https://mta-sts.{name}/.well-known/mta-sts.txt:",
        *policy.text.splitlines(),
        "",
        "record to publish:",
        record,
    ]
    office.answer({**_policy(options.domain, policy), "record": record}, said)


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_AGE:
        raise ArgumentTypeError(f"seconds from 1 to {MAX_AGE} are needed")
    return int(text)


def add_to_domains(domains: Commands) -> None:
    """Add the commands to the group `domain`."""
    check = domains.add("check", "show which of a domain's records are right, wrong or missing", _check)
    check.add_argument("domain")
    keys = domains.add("keys", "show a domain's DKIM keys and their records", _keys)
    keys.add_argument("domain")
    keys.add_argument("--rotate", action="store_true", help="make the next keys, which sign once they are published")
    keys.add_argument(
        "--now", action="store_true", help="rotate and sign with the next keys at once: for keys that were stolen"
    )
    sts = domains.add("sts", "show or set the MTA-STS policy that is served for a domain (RFC 8461)", _sts)
    sts.add_argument("domain")
    sts.add_argument(
        "--mode", choices=["testing", "enforce", "none", "off"],
        help="none: senders are to forget the last one; off: serve nothing, some time after none",
    )  # fmt: skip
    sts.add_argument("--mx", action="append", default=[], help="an MX host, or *.name; the platform's own unless given")
    sts.add_argument(
        "--max-age", type=_seconds, default=0, help="seconds that senders remember it; a month, a day for testing"
    )
