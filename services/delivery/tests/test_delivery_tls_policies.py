"""What other domains say of TLS: MTA-STS records and policies (RFC 8461), TLSA records and the chains that they name (RFC 7672)."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain.dane import proves, usable
from petitbleu_delivery.domain.records_transport import Association

NOW: Final = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
HOST: Final = "mx.peer.example"


class Made:
    """A certificate and its key."""

    def __init__(
        self, name: str, issuer: Made | None = None, *, authority: bool = False, days: tuple[int, int] = (-1, 30)
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name if issuer else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + dt.timedelta(days=days[0]))
            .not_valid_after(NOW + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(issuer.key if issuer else self.key, hashes.SHA256())
        )

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def selected(self, selector: int) -> bytes:
        if selector == 0:
            return self.der
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def record(self, usage: int, selector: int = 1, matching: int = 1) -> Association:
        octets = self.selected(selector)
        digest = {0: octets, 1: hashlib.sha256(octets).digest(), 2: hashlib.sha512(octets).digest()}
        return Association(usage, selector, matching, digest[matching])


ROOT: Final = Made("root", authority=True)
MIDDLE: Final = Made("middle", ROOT, authority=True)
SERVER: Final = Made(HOST, MIDDLE)
OTHER: Final = Made("other.example", MIDDLE)


def proven(record: Association, *chain: Made, name: str = HOST) -> bool:
    return proves([record], [one.der for one in chain], [name], NOW)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_rfc6698_2_1_selectors_and_matching_types(selector: int, matching: int) -> None:
    assert proven(SERVER.record(3, selector, matching), SERVER)
    assert not proven(OTHER.record(3, selector, matching), SERVER)
    assert proven(MIDDLE.record(2, selector, matching), SERVER, MIDDLE)
    assert proven(ROOT.record(2, selector, matching), SERVER, MIDDLE, ROOT)


def test_rfc7672_3_1_1_an_end_entity_needs_no_name_and_no_date() -> None:
    late = Made("whoever.example", days=(-30, -1))
    assert proven(late.record(3), late)


def test_rfc7672_3_1_2_an_anchor_leads_to_the_server_by_signatures_of_authorities_in_their_time() -> None:
    record = MIDDLE.record(2)
    assert not proven(record, SERVER, MIDDLE, name="elsewhere.example")
    assert not proven(record, OTHER, MIDDLE)
    assert not proven(record, MIDDLE), "the anchor alone is no server"
    late = Made(HOST, MIDDLE, days=(-30, -1))
    assert not proven(record, late, MIDDLE)
    # whoever has a certificate for a name of their own makes none for ours
    assert not proven(record, Made(HOST, OTHER), OTHER, MIDDLE)
    stranger = Made("middle", authority=True)
    assert not proven(record, Made(HOST, stranger), MIDDLE)
    assert not proven(record, Made(HOST, stranger), stranger, MIDDLE)


def test_rfc7672_3_1_2_an_anchor_that_stands_whole_in_the_dns_need_not_be_shown() -> None:
    assert proven(ROOT.record(2, 0, 0), SERVER, MIDDLE)
    assert not proven(ROOT.record(2, 0, 1), SERVER, MIDDLE)
    assert not proven(Made("root", authority=True).record(2, 0, 0), SERVER, MIDDLE)


def test_rfc7672_3_1_3_usages_of_the_web_and_unknown_ones_are_unusable() -> None:
    records = [
        SERVER.record(0),
        SERVER.record(1),
        Association(3, 2, 1, b"x"),
        Association(3, 1, 9, b"x"),
        SERVER.record(3),
    ]
    assert usable(records) == [SERVER.record(3)]


@given(st.lists(st.binary(max_size=80), max_size=4), st.binary(max_size=64), st.sampled_from([2, 3]), st.integers(0, 1))
def test_what_is_no_certificate_proves_nothing(chain: list[bytes], data: bytes, usage: int, selector: int) -> None:
    assert not proves([Association(usage, selector, 1, data)], chain, [HOST], NOW)
