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
from petitbleu_delivery.domain.sts import MAX_AGE_SECONDS, MODES, StsPolicy, policy_id, read_policy

NOW: Final = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
HOST: Final = "mx.peer.example"
POLICY: Final = b"version: STSv1\r\nmode: enforce\r\nmx: mx.peer.example\r\nmx: *.Pool.example\r\nmax_age: 86400\r\n"


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([b"v=STSv1; id=20260601T0;"], "20260601T0"),
        ([b"v=spf1 -all", b"v=STSv1;id=a"], "a"),
        ([b"v=STSv1; id=a", b"v=STSv1; id=b"], ""),
        ([b"v=STSv1; id=a-b"], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv10; id=a"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv1; id=\xe9"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_rfc8461_3_1_one_record_announces_a_policy(records: list[bytes], found: str) -> None:
    assert policy_id(records) == found


def test_rfc8461_3_2_a_policy_is_read() -> None:
    policy = read_policy(POLICY)
    assert policy == StsPolicy("enforce", ("mx.peer.example", "*.pool.example"), 86_400)
    assert read_policy(POLICY.replace(b"\r\n", b"\n")) == policy
    assert read_policy(POLICY + b"mode: none\nx-more: y\n") == policy
    assert read_policy(POLICY.replace(b"86400", b"9999999999")) == StsPolicy(policy.mode, policy.mx, MAX_AGE_SECONDS)


@pytest.mark.parametrize(
    "text",
    [
        b"", POLICY.replace(b"STSv1", b"STSv2"), POLICY.replace(b"enforce", b"strict"), POLICY.replace(b"86400", b"-1"),
        POLICY.replace(b"*.Pool", b"*.*.pool"), POLICY.replace(b"mx:", b"my:"), POLICY + b"x" * (64 << 10),
        POLICY + b"\xff",
    ],
)  # fmt: skip
def test_rfc8461_3_2_what_is_no_policy_is_none(text: bytes) -> None:
    assert read_policy(text) is None


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mx.peer.example", True), ("MX.PEER.EXAMPLE.", True), ("a.pool.example", True), ("a.b.pool.example", False),
        ("pool.example", False), ("mx.evil.example", False), ("", False),
    ],
)  # fmt: skip
def test_rfc8461_4_1_a_pattern_stands_for_one_label(host: str, allowed: bool) -> None:
    policy = read_policy(POLICY)
    assert policy is not None
    assert policy.allows(host) is allowed


@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"version: STSv1", b"mode: enforce", b"mode: none", b"mx: *.a", b"mx: a", b"max_age: 9"]),
            st.binary(max_size=30),
        ),
        max_size=12,
    ).map(b"\n".join)
)
def test_whatever_is_served_is_a_policy_within_bounds_or_none(text: bytes) -> None:
    policy = read_policy(text)
    if policy is not None:
        assert policy.mode in MODES
        assert 0 <= policy.max_age <= MAX_AGE_SECONDS
        assert policy.mx or policy.mode == "none"
    policy_id([text])


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
