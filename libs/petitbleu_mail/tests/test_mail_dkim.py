"""DKIM signatures verified: RFC 6376, RFC 8301, RFC 8463, and the samples of the shared data."""

from __future__ import annotations

import base64
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from libs.petitbleu_mail.tests.dns_texts import DATA, Texts, as_sent, sample

from petitbleu_mail.auth.canonical import BodyHashes
from petitbleu_mail.auth.dkim import MAX_SIGNATURES, MAX_VERDICTS, DkimCheck, Hint, Verdict, verify_message
from petitbleu_mail.auth.dkim_record import KeyRing, Result, SignatureError, parse_key
from petitbleu_mail.auth.dkim_sign import SigningKey, signature_field, signed_field, signing_body
from petitbleu_mail.auth.fields import MAX_HEADER, Fields, split_message
from petitbleu_mail.auth.tags import parse_tags

NOW = 1_700_000_000
MESSAGE = as_sent(b"From: a@d.example\nTo: b@e.example\nSubject: one  two\nReceived: x\n\nHello  there \n\nend\n\n\n")

SAMPLES = sorted((DATA / "dkim").glob("*.msg"))
KEYED = sorted((DATA / "auth" / "dkim").glob("*.txt"))
needs_data = pytest.mark.skipif(not SAMPLES, reason=f"NO TEST DATA in {DATA}: set PETITBLEU_TEST_DATA")


@cache
def rsa(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ed25519() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def record(key: RSAPrivateKey | Ed25519PrivateKey, extra: str = "") -> bytes:
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa;{extra} p={base64.b64encode(octets).decode()}".encode()
    octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519;{extra} p={base64.b64encode(octets).decode()}".encode()


def signed(message: bytes = MESSAGE, selector: str = "r", **options: int | str) -> bytes:
    key = SigningKey("d.example", selector, ed25519() if selector == "e" else rsa())
    header, start = split_message(message)
    hashes = BodyHashes()
    body = signing_body(hashes)
    hashes.take([message[start:]])
    return signature_field(Fields(header), body, key, NOW, **options) + message  # type: ignore[arg-type]


def hand_signed(
    message: bytes = MESSAGE, *, body_form: str = "simple", limit: int | None = None, **change: str
) -> bytes:
    """Sign with tags of one's own; a change to None of a tag is made by the value "-"."""
    header, start = split_message(message)
    hashes = BodyHashes()
    body = hashes.want(body_form, limit)
    hashes.take([message[start:]])
    tags = {
        "v": "1", "a": "rsa-sha256", "c": f"relaxed/{body_form}", "d": "d.example", "s": "r", "h": "From:Subject",
        "bh": base64.b64encode(body.digest()).decode(), "b": "",
    }  # fmt: skip
    tags |= {} if limit is None else {"l": str(limit)}
    tags |= change
    names = [name.strip().lower().encode() for name in tags["h"].split(":")]
    pairs = [(name, value) for name, value in tags.items() if value != "-"]
    return signed_field(b"DKIM-Signature", pairs, Fields(header), names, SigningKey("d.example", "r", rsa())) + message


def zone(extra: str = "") -> Texts:
    return Texts(
        {"r._domainkey.d.example": (record(rsa(), extra),), "e._domainkey.d.example": (record(ed25519(), extra),)}
    )


async def verdict(message: bytes, texts: Texts | None = None, now: int = NOW) -> Verdict:
    (only,) = await verify_message(message, KeyRing(texts or zone()), now)
    return only


@needs_data
@pytest.mark.parametrize("path", KEYED, ids=lambda path: path.stem)
async def test_rfc6376_6_every_sample_that_has_its_key_passes(path: object) -> None:
    message, texts = sample(path)  # type: ignore[arg-type]
    first = min(parse_tags(Fields(split_message(message)[0]).value(0)).number("t") or 0, NOW)
    verdicts = await verify_message(message, KeyRing(texts), first)
    assert [one.result for one in verdicts] == [Result.PASS] * len(verdicts)
    assert verdicts
    # any change of the body is seen, and the signatures of one key cost one look-up
    assert texts.asked == [*dict.fromkeys(texts.asked)]
    assert {one.result for one in await verify_message(message + b"x\r\n", KeyRing(texts), first)} == {Result.FAIL}


@needs_data
async def test_rfc6376_6_samples_without_their_keys() -> None:
    """SpamAssassin's samples come without keys: theirs are in the DNS. What can be told without is told.

    13 of 44 have no signature; one is of SHA-1; of the other 30 the body hash is right, and only the key is missing.
    """
    found: dict[str, list[str]] = {}
    for path in SAMPLES:
        verdicts = await verify_message(as_sent(path.read_bytes()), KeyRing(Texts({})), NOW)
        reason = f"{verdicts[0].result}: {verdicts[0].reason}" if verdicts else "none"
        found.setdefault(reason, []).append(path.stem)
    assert found.pop("policy: historic algorithm") == ["test-pass-01"]  # RFC 8301 §3.1; it passed in 2009
    assert len(found.pop("none")) == 13  # test-fail-01 and test-adsp-*
    assert len(found.pop("permerror: no key")) == 30
    assert not found


@needs_data
async def test_rfc6376_3_7_samples_of_one_message_sign_the_same_octets() -> None:
    """SpamAssassin's pass-19 to pass-23 are one message in several line ends and one more field that is not signed."""
    digests = set()
    for number in range(19, 24):
        fields = Fields(split_message(as_sent((DATA / "dkim" / f"test-pass-{number}.msg").read_bytes()))[0])
        hashes = BodyHashes()
        check = DkimCheck(fields, hashes)
        assert check.key_names() == ["t0512._domainkey.sa-test.spamassassin.org"]
        (one,) = check.signatures()
        digests.add(one.digest(fields))
    assert len(digests) == 1


async def test_rfc6376_3_5_what_a_verdict_says() -> None:
    one = await verdict(signed(identity="me@sub.d.example", lifetime=100))
    assert (one.result, one.reason, one.passed) == (Result.PASS, "", True)
    assert (one.domain, one.selector, one.identity) == ("d.example", "r", "me@sub.d.example")
    assert (one.algorithm, one.bits, one.made, one.hints) == ("rsa-sha256", 2048, NOW, frozenset())
    assert len(one.b) == 8
    assert (await verdict(signed(selector="e"))).algorithm == "ed25519-sha256"


@pytest.mark.parametrize(
    ("change", "result", "reason"),
    [
        ({"v": "2"}, Result.NEUTRAL, "unknown version"),
        ({"v": "-"}, Result.NEUTRAL, "syntax: v= is missing"),
        ({"a": "rsa-sha1"}, Result.POLICY, "historic algorithm"),
        ({"a": "rsa-sha512"}, Result.NEUTRAL, "unknown algorithm"),
        ({"a": "ed25519-sha256"}, Result.PERMERROR, "key of another kind"),
        ({"c": "nowsp"}, Result.NEUTRAL, "syntax: c= is unknown"),
        ({"c": "relaxed/"}, Result.NEUTRAL, "syntax: c= is unknown"),
        ({"d": ""}, Result.NEUTRAL, "syntax: d= is empty"),
        ({"d": "-"}, Result.NEUTRAL, "syntax: d= is missing"),
        ({"d": "[192.0.2.1]"}, Result.NEUTRAL, "syntax: d= or s= is no domain name"),
        ({"s": "a..b"}, Result.NEUTRAL, "syntax: d= or s= is no domain name"),
        ({"s": "other"}, Result.PERMERROR, "no key"),
        ({"h": "To:Subject"}, Result.PERMERROR, "From not signed"),
        ({"h": ""}, Result.NEUTRAL, "syntax: h= has an empty name"),
        ({"h": "From: a b"}, Result.NEUTRAL, "syntax: h= has what is no field name"),
        ({"h": "From" + ":x" * 1000}, Result.NEUTRAL, "syntax: h= is too long"),
        ({"i": "a@e.example"}, Result.PERMERROR, "i= is not in the domain"),
        ({"i": "a@xd.example"}, Result.PERMERROR, "i= is not in the domain"),
        ({"i": "a"}, Result.NEUTRAL, "syntax: i= is no identity"),
        ({"q": "dns/other"}, Result.NEUTRAL, "no way to the key that is known"),
        ({"t": "yesterday"}, Result.NEUTRAL, "syntax: t= is no number"),
        ({"t": "20", "x": "20"}, Result.NEUTRAL, "syntax: x= is not after t="),
        ({"l": "99999"}, Result.FAIL, "l= is more than the body"),
        ({"bh": "AAAA"}, Result.NEUTRAL, "syntax: bh= is no SHA-256"),
        ({"bh": "?"}, Result.NEUTRAL, "syntax: bh= is no base64"),
        ({"x": str(NOW - 1)}, Result.POLICY, "expired"),
        ({"x": str(NOW)}, Result.PASS, ""),
        ({"q": "dns/other:dns/txt", "z": "From:x|To:y", "unknown": "1"}, Result.PASS, ""),
        ({"c": "relaxed"}, Result.PASS, ""),
        ({"d": "D.Example", "i": "@SUB.d.example"}, Result.PASS, ""),
    ],
)  # fmt: skip
async def test_rfc6376_6_1_1_signatures_that_make_no_sense(change: dict[str, str], result: Result, reason: str) -> None:
    one = await verdict(hand_signed(**change))  # type: ignore[arg-type]
    assert (one.result, one.reason) == (result, reason)


@pytest.mark.parametrize(
    ("text", "result", "reason"),
    [
        (None, Result.TEMPERROR, "key not available"),
        ((), Result.PERMERROR, "no key"),
        ((b"",), Result.PERMERROR, "key record: no tag list"),
        ((b"v=DKIM1; p=",), Result.PERMERROR, "key revoked"),
        ((b"v=DKIM1; k=rsa",), Result.PERMERROR, "key record: p= is missing"),
        ((b"v=DKIM1; p=AAAA",), Result.PERMERROR, "key record: p= is no RSA key"),
        ((b"v=DKIM1; k=ed25519; p=AAAA",), Result.PERMERROR, "key record: p= is no Ed25519 key"),
        ((b"v=DKIM1; k=dsa; p=AAAA",), Result.PERMERROR, "key record: unknown kind of key"),
        ((record(rsa()).replace(b"DKIM1", b"DKIM2"),), Result.PERMERROR, "key record: unknown version"),
        ((b"k=rsa; " + record(rsa()).replace(b"k=rsa; ", b""),), Result.PERMERROR, "key record: unknown version"),
        ((record(rsa(), " h=sha1;"),), Result.PERMERROR, "key record: not for sha256"),
        ((record(rsa(), " s=tlsrpt;"),), Result.PERMERROR, "key record: not for mail"),
        ((record(ed25519()),), Result.PERMERROR, "key of another kind"),
        ((record(rsa(1024)),), Result.FAIL, "signature did not verify"),
        ((record(rsa(), " h=sha1:sha256; s=other:email; n=x;"),), Result.PASS, ""),
        ((record(rsa()).removeprefix(b"v=DKIM1; k=rsa; "),), Result.PASS, ""),
        ((b"rubbish", record(ed25519()), record(rsa())), Result.PASS, ""),
    ],
)  # fmt: skip
async def test_rfc6376_6_1_2_key_records(text: tuple[bytes, ...] | None, result: Result, reason: str) -> None:
    one = await verdict(hand_signed(), Texts({"r._domainkey.d.example": text}))
    assert (one.result, one.reason) == (result, reason)


async def test_rfc6376_3_6_1_flags_of_a_key() -> None:
    strict = zone(" t=s;")
    assert (await verdict(hand_signed(i="a@d.example"), strict)).passed
    assert (await verdict(hand_signed(i="a@x.d.example"), strict)).reason == "i= is below the domain of a strict key"
    testing = await verdict(hand_signed(), zone(" t=y:s;"))
    assert testing.passed
    assert Hint.TESTING in testing.hints


def test_rfc8301_3_2_short_keys_verify_nothing() -> None:
    short = (
        b"v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAIWmlgix/84GJ+dfgjm7LTc9EPdfkftlgiPpCq4/kbDAZmU0VvYKDljjleJ1dfvS"
        b"+CGy9U/kk1tG3EeEvb82xAcCAwEAAQ=="
    )
    with pytest.raises(SignatureError, match="key too short") as refused:
        parse_key(short)
    assert refused.value.result is Result.POLICY
    assert parse_key(record(rsa(1024))).bits == 1024


async def test_rfc6376_5_4_more_of_a_signed_field_breaks_what_is_oversigned() -> None:
    plain, over = hand_signed(h="From:To:Subject"), signed()
    for added in (b"From: x@y.example\r\n", b"Subject: other\r\n", b"Reply-To: x@y.example\r\n"):
        assert (await verdict(added + plain)).passed
        assert (await verdict(added + over)).result is Result.FAIL
    assert Hint.FIELDS_CAN_BE_ADDED in (await verdict(plain)).hints
    # a field above one that is signed changes nothing, one below is the one that is signed
    assert (await verdict(plain.replace(b"Received", b"Subject: later\r\nReceived"))).result is Result.FAIL


async def test_rfc6376_3_5_body_length() -> None:
    whole = await verdict(hand_signed(limit=5))
    assert whole.passed
    assert Hint.BODY_BEYOND_LIMIT in whole.hints
    assert (await verdict(hand_signed(limit=5) + b"added\r\n")).passed
    exact = hand_signed(as_sent(b"From: a\n\nabc\n"), limit=5)
    assert (await verdict(exact)).hints == {Hint.FIELDS_CAN_BE_ADDED}
    assert Hint.BODY_BEYOND_LIMIT in (await verdict(exact + b"more\r\n")).hints
    assert (await verdict(hand_signed(limit=0).replace(b"Hello", b"Other"))).passed


async def test_rfc6376_3_5_times() -> None:
    message = signed(lifetime=60)
    assert (await verdict(message, now=NOW + 60)).hints == frozenset()
    late = await verdict(message, now=NOW + 61)
    assert (late.result, late.reason) == (Result.POLICY, "expired")
    assert late.hints == {Hint.EXPIRED}
    assert (await verdict(message, now=NOW - 301)).hints == {Hint.FROM_THE_FUTURE}


async def test_rfc6376_6_1_signatures_without_number_are_bounded() -> None:
    one = hand_signed(MESSAGE).removesuffix(MESSAGE)
    texts = zone()
    verdicts = await verify_message(one * 500 + MESSAGE, KeyRing(texts), NOW)
    assert [v.result for v in verdicts] == [Result.PASS] * MAX_SIGNATURES + [Result.POLICY] * (
        MAX_VERDICTS - MAX_SIGNATURES
    )
    assert verdicts[-1].reason == "too many signatures"
    assert verdicts[-1].domain == "d.example"
    assert len(texts.asked) == 1
    assert await verify_message(b"X: " + b"y" * MAX_HEADER + b"\r\n" + hand_signed(), KeyRing(texts), NOW) == []


async def test_rfc6376_3_2_signatures_that_cannot_be_read() -> None:
    broken = await verdict(b"DKIM-Signature: d=x; d=y\r\n" + MESSAGE)
    assert (broken.result, broken.reason, broken.domain) == (Result.NEUTRAL, "syntax: d= comes twice", "")
    claims = await verdict(b"DKIM-Signature: v=1; a=rsa-sha1; d=x.example; s=y; b=QUJDREVGR0hJ\r\n" + MESSAGE)
    assert (claims.domain, claims.selector, claims.algorithm, claims.b) == ("x.example", "y", "rsa-sha1", "QUJDREVG")


async def test_rfc8616_4_domains_of_signatures_may_be_international() -> None:
    message = hand_signed(d="bücher.example")
    texts = Texts({"r._domainkey.xn--bcher-kva.example": (record(rsa()),)})
    one = await verdict(message, texts)
    assert (one.result, one.domain) == (Result.PASS, "xn--bcher-kva.example")
