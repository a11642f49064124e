"""`petitbleu domain keys`: what hosted domains say about their mail, which is delivery's."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from petitbleu.delivery.v1 import domains_pb2 as pb
from petitbleu.delivery.v1 import domains_pb2_grpc
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands

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


def add_to_domains(domains: Commands) -> None:
    """Add the commands to the group `domain`."""
    keys = domains.add("keys", "show a domain's DKIM keys and their records", _keys)
    keys.add_argument("domain")
    keys.add_argument("--rotate", action="store_true", help="make the next keys, which sign once they are published")
    keys.add_argument(
        "--now", action="store_true", help="rotate and sign with the next keys at once: for keys that were stolen"
    )
