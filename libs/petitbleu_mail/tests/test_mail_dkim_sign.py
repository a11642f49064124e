"""DKIM signatures made: what is signed passes, what is changed does not (RFC 6376 §5, RFC 8463)."""

from __future__ import annotations

import asyncio
import base64
import re
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_texts import Texts

from petitbleu_mail.auth.arc import verify_chain
from petitbleu_mail.auth.arc_seal import arc_set, own_results
from petitbleu_mail.auth.canonical import BodyHashes
from petitbleu_mail.auth.dkim import Verdict, verify_message
from petitbleu_mail.auth.dkim_record import KeyRing, Result
from petitbleu_mail.auth.dkim_sign import SigningKey, names_to_sign, signature_field, signing_body
from petitbleu_mail.auth.fields import Fields, split_message

NOW = 1_700_000_000
# Each example signs several times
FEWER = settings(max_examples=settings.default.max_examples // 4 if settings.default else 25)

TEXT = st.text(st.sampled_from("ab:;=,<>@ \t\x7fé"), max_size=20).map(str.encode)
# Folds as senders write them: a line end, then a blank
VALUES = st.lists(TEXT, min_size=1, max_size=3).map(b"\r\n\t".join)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"To", b"SUBJECT", b"cc", b"X-Other", b"Reply-To ", b"List-Id", b"Content-Type"]), VALUES
    ),
    max_size=6,
)
BODIES = st.lists(st.sampled_from([b"word", b" ", b"\t", b"\r\n", b"\r\n\r\n", b"\r", b"."]), max_size=20).map(b"".join)


@cache
def keys() -> tuple[SigningKey, SigningKey]:
    return (
        SigningKey("d.example", "r", generate_private_key(public_exponent=65537, key_size=2048)),
        SigningKey("d.example", "e", Ed25519PrivateKey.generate()),
    )


def published(key: SigningKey) -> bytes:
    private = key._key
    if isinstance(private, RSAPrivateKey):
        octets = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(octets)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(
        private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    )


def ring() -> KeyRing:
    return KeyRing(Texts({f"{key.selector}._domainkey.d.example": (published(key),) for key in keys()}))


def sign(message: bytes) -> bytes:
    """Sign with both kinds of key over one body hash."""
    header, start = split_message(message)
    fields, hashes = Fields(header), BodyHashes()
    body = signing_body(hashes)
    hashes.take([message[start:]])
    return b"".join(signature_field(fields, body, key, NOW) for key in keys()) + message


def check(message: bytes) -> list[Verdict]:
    return asyncio.run(verify_message(message, ring(), NOW))


def compose(fields: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    header = b"From: a@d.example\r\n" + b"".join(name + b":" + value + b"\r\n" for name, value in fields)
    return header + b"\r\n" + body


@FEWER
@given(FIELDS, BODIES)
def test_rfc6376_5_what_is_signed_passes(fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    signed = sign(compose(fields, body))
    found = check(signed)
    assert [(one.result, one.algorithm) for one in found] == [
        (Result.PASS, "rsa-sha256"),
        (Result.PASS, "ed25519-sha256"),
    ]
    assert not any(one.hints for one in found)
    # relays unfold, fold anew and strip (RFC 6376 §3.4.2, §3.4.4); nothing of what is made is longer than a line may be
    head, end, rest = signed.partition(b"\r\n\r\n")
    assert all(one.passed for one in check(re.sub(rb"\r\n\t", b"   ", head, count=1) + end + rest))
    assert all(one.passed for one in check(signed + b"\r\n\r\n"))
    assert all(len(line) <= 78 for line in signed.removesuffix(compose(fields, body)).split(b"\r\n"))


@given(st.data(), FIELDS, BODIES)
def test_rfc6376_3_7_what_is_changed_does_not_pass(
    data: st.DataObject, fields: list[tuple[bytes, bytes]], body: bytes
) -> None:
    kept = [field for field in fields if field[0] != b"X-Other"]
    signed = sign(compose(kept, body))
    kind = data.draw(st.sampled_from(["field", "added", "removed", "body"]))
    at = data.draw(st.integers(0, len(kept)))
    name, value = ([(b"From", b" a@d.example"), *kept])[at]
    line = name + b":" + value + b"\r\n"
    changed = {
        "field": signed.replace(b"\r\n" + line, b"\r\n" + name + b":" + value + b"x\r\n"),
        "added": name + b": x\r\n" + signed
        if name != b"List-Id"
        else signed.replace(b"\r\n\r\n", b"\r\nFrom: x\r\n\r\n", 1),
        "removed": signed.replace(b"\r\n" + line, b"\r\n", 1),
        "body": signed + b"x",
    }[kind]
    assert {one.result for one in check(changed)} == {Result.FAIL}, changed


def test_rfc6376_5_4_what_a_reader_sees_is_oversigned() -> None:
    fields = Fields(
        b"From: a\r\nTo: b\r\nto: c\r\nReceived: x\r\nList-Id: l\r\nContent-Type: t\r\nX-Y: z\r\nBcc: s\r\n"
    )
    names = names_to_sign(fields)
    assert [names.count(name) for name in (b"from", b"to", b"cc", b"subject", b"reply-to")] == [2, 3, 1, 1, 1]
    assert [names.count(name) for name in (b"content-type", b"list-id", b"sender")] == [2, 1, 0]
    assert not {b"received", b"bcc", b"x-y", b"return-path", b"dkim-signature"} & set(names)


def test_rfc6376_3_5_a_signature_is_written_in_lines() -> None:
    signed = sign(compose([], b""))
    field = signed[: signed.index(b"DKIM-Signature", 5)]
    assert field.startswith(
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=d.example; s=r;\r\n t=1700000000;"
    )
    assert field.endswith(b"\r\n")
    assert b"h=from:from:to:cc:subject:date:message-id:reply-to;" in field


@FEWER
@given(BODIES, st.integers(1, 4))
def test_rfc8617_5_1_what_is_sealed_passes(body: bytes, hops: int) -> None:
    message = sign(compose([(b"Subject", b" x")], body))
    for hop in range(hops):
        header, start = split_message(message)
        fields, hashes = Fields(header), BodyHashes()
        digest = signing_body(hashes)
        hashes.take([message[start:]])
        chain = asyncio.run(verify_chain(message, ring()))
        assert chain.result is (Result.PASS if hop else Result.NONE)
        message = arc_set(fields, digest, chain, keys()[hop % 2], ("mx.d.example", b"dkim=pass"), NOW) + message
    found = asyncio.run(verify_chain(message, ring()))
    assert (found.result, found.highest, found.sealers, found.oldest_pass) == (
        Result.PASS,
        hops,
        ("d.example",) * hops,
        0,
    )
    assert asyncio.run(verify_chain(message + b"x", ring())).result is Result.FAIL
    assert (
        asyncio.run(verify_chain(message.replace(b"dkim=pass", b"dkim=fail", 1), ring())).reason
        == "seal: signature did not verify"
    )


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"", b"none"),
        (b"Authentication-Results: mx.example; none\r\n", b"none"),
        (b"Authentication-Results: MX.example 1; spf=pass; \r\n", b"spf=pass"),
        (b"Authentication-Results: (c) mx.example;\r\n spf=pass\r\nAuthentication-Results: mx.example; dkim=fail\r\n", b"spf=pass; dkim=fail"),
        (b"Authentication-Results: mx.example.org; spf=pass\r\n", b"none"),
        (b"Authentication-Results: mxxexample; spf=pass\r\n", b"none"),
    ],
)  # fmt: skip
def test_rfc8617_5_1_what_we_found_is_sealed(header: bytes, found: bytes) -> None:
    assert own_results(Fields(header), "mx.example") == found
