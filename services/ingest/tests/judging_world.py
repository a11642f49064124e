"""A DNS from a table, keys that sign, and a door that judges by them."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import dns.rdatatype
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dns.rdatatype import RdataType
from services.ingest.tests import ingest_fakes as fakes

from petitbleu_ingest.adapters.dns import DnsLimits, DnsResolver, Records
from petitbleu_ingest.config import names as names_of
from petitbleu_ingest.judging.judge import Judge
from petitbleu_mail.auth.arc import verify_chain
from petitbleu_mail.auth.arc_seal import arc_set
from petitbleu_mail.auth.canonical import BodyHashes
from petitbleu_mail.auth.dkim_record import KeyRing
from petitbleu_mail.auth.dkim_sign import SigningKey, signature_field, signing_body
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.auth.resolver import NoSuchNameError, TemporaryDnsError

HELLO = b"EHLO mail.good.example\r\n"
CLIENT = "192.0.2.9"
SECONDS = 1_800_000_000


@cache
def keys() -> tuple[RSAPrivateKey, Ed25519PrivateKey]:
    return generate_private_key(65537, 2048), Ed25519PrivateKey.generate()


def key_records() -> dict[str, str]:
    rsa, ed = keys()
    spki = base64.b64encode(rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    raw = base64.b64encode(ed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    return {"rsa": f"v=DKIM1; k=rsa; p={spki}", "ed": f"v=DKIM1; k=ed25519; p={raw}"}


def signed(message: bytes, domain: str = "good.example", kind: str = "rsa") -> bytes:
    """Sign a message with the key of a domain; selectors are the kinds."""
    header, start = split_message(message)
    hashes = BodyHashes()
    body = signing_body(hashes)
    hashes.take([message[start:]])
    key = SigningKey(domain, kind, keys()[0] if kind == "rsa" else keys()[1])
    return signature_field(Fields(header), body, key, int(time.time())) + message


async def sealed(message: bytes, domain: str, resolver: DnsResolver) -> bytes:
    """Put an ARC set on top."""
    header, start = split_message(message)
    fields = Fields(header)
    hashes = BodyHashes()
    body = signing_body(hashes)
    hashes.take([message[start:]])
    chain = await verify_chain(message, KeyRing(resolver))
    key = SigningKey(domain, "rsa", keys()[0])
    return arc_set(fields, body, chain, key, ("list.example", b"dmarc=pass"), int(time.time())) + message


def table() -> dict[str, Sequence[Any]]:
    """Names of the TXT and other records: `good` signs and rejects, `soft` quarantines, `none` has no policy, `list` forwards."""
    records = key_records()
    found: dict[str, Sequence[Any]] = {
        "good.example": [b"v=spf1 ip4:192.0.2.9 -all"],
        "soft.example": [b"v=spf1 -all"],
        "none.example": [b"v=spf1 ip4:192.0.2.9 -all"],
        "mail.good.example": [IPv4Address(CLIENT), b"v=spf1 a -all"],
        "9.2.0.192.in-addr.arpa": ["mail.good.example"],
        "_dmarc.good.example": [b"v=DMARC1; p=reject"],
        "_dmarc.soft.example": [b"v=DMARC1; p=quarantine"],
    }
    for domain in ("good.example", "soft.example", "none.example", "list.example", "other.example"):
        for kind, record in records.items():
            found[f"{kind}._domainkey.{domain}"] = [record.encode()]
    return found


_TYPES: Mapping[RdataType, type] = {dns.rdatatype.TXT: bytes, dns.rdatatype.A: IPv4Address, dns.rdatatype.PTR: str}
BROKEN = object()


class TableDns(DnsResolver):
    """A resolver that asks a table. Names of `BROKEN` have no answer for now; it counts what is asked."""

    def __init__(self, names: Mapping[str, Sequence[Any]], limits: DnsLimits | None = None) -> None:
        super().__init__(("127.0.0.1", 9), limits)
        self.names = names
        self.questions: list[tuple[str, str]] = []

    async def _look_up(self, name: str, kind: RdataType) -> tuple[Records | type[Exception], float]:
        self.questions.append((name, dns.rdatatype.to_text(kind)))
        if name not in self.names:
            return NoSuchNameError, 60.0
        records = self.names[name]
        if BROKEN in records:
            return TemporaryDnsError, 10.0
        return tuple([one for one in records if isinstance(one, _TYPES.get(kind, tuple))]), 300.0


class JudgingBench(fakes.Bench):
    """A door whose DNS is a table; make it inside a running loop."""

    def __init__(
        self, names: Mapping[str, Sequence[Any]] | None = None, *, junk_points: int = 0, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.dns = TableDns(table() if names is None else names)
        chosen = self.door.settings
        lists = names_of(chosen.dnsbl)
        self.door.judge = Judge(
            self.dns, chosen.own_names[0], chosen.hostname, chosen.rules, junk_points=junk_points, block_lists=lists
        )

    async def send(self, message: bytes, mail_from: str = "a@good.example", address: str = CLIENT) -> str:
        """Send one message; return the code and status of its last reply."""
        talk = self.session(address)
        await talk.say(HELLO + b"MAIL FROM:<%b>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n" % mail_from.encode())
        wire = message + b".\r\n"
        for at in range(0, len(wire), 60_000):
            await talk.say(wire[at : at + 60_000])
        await self.until_answered(talk)
        talk.smtp.connection_lost(None)
        return talk.replies()[-1]

    async def until_answered(self, talk: fakes.Talk) -> None:
        for _ in range(50):
            await talk.settle()
