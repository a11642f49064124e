"""What is posted to push services: the examples of the standards, and whatever else may be said."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.push_service import UserAgent, decrypt, octets_of

from petitbleu_gateway.adapters.push_post import retry_after
from petitbleu_gateway.domain.web_push import MAX_PLAIN, Vapid, base64url, encrypt, read_base64url, topic


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(octets_of(text), "big"), ec.SECP256R1())


def test_rfc8291_5_the_example_of_the_standard_comes_out_octet_by_octet() -> None:
    # RFC 8291 §5 and appendix A
    made = encrypt(
        b"When I grow up, I want to be a watermelon",
        octets_of("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        octets_of("BTBZMqHH6r4Tts7J_aSIgg"),
        key=private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
        salt=octets_of("DGv6ra1nlYgDCS1FRnbzlw"),
        pad=1,
    )
    assert base64url(made) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@given(st.binary(max_size=MAX_PLAIN))
@settings(deadline=None, max_examples=40)
def test_rfc8291_4_whatever_is_said_is_heard_and_fits(plain: bytes) -> None:
    agent = UserAgent("")
    made = encrypt(plain, octets_of(agent.keys["p256dh"]), agent.auth)
    assert len(made) <= 4096
    assert decrypt(made, agent.key, agent.auth) == plain
    assert made != encrypt(plain, octets_of(agent.keys["p256dh"]), agent.auth)


def test_rfc8291_7_messages_of_like_length_look_alike() -> None:
    agent = UserAgent("")
    point = octets_of(agent.keys["p256dh"])
    assert len({len(encrypt(b"x" * length, point, agent.auth)) for length in range(129, 257)}) == 1


@pytest.mark.parametrize("point", [b"", b"\x04" + b"\x01" * 64, b"\x02" + b"\x01" * 32, b"x" * 65])
def test_rfc8291_3_1_what_is_no_key_is_refused(point: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 — whatever it says
        encrypt(b"x", point, b"a" * 16)


@given(st.text(max_size=30))
def test_base64url_is_read_or_refused(text: str) -> None:
    try:
        octets = read_base64url(text)
    except ValueError:
        return
    assert len(octets) == len(text.rstrip("=")) * 3 // 4


def test_rfc8292_2_a_token_says_who_posts_where_and_until_when(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key").write_bytes(pem)
    vapid = Vapid.from_file(tmp_path / "key", "mailto:admin@demo.test")
    field = vapid.authorization("https://push.example:8443").decode()
    assert field == vapid.authorization("https://push.example:8443").decode()  # used for hours
    assert field != vapid.authorization("https://other.example").decode()
    scheme, t, k = field.split(" ")
    assert (scheme, k) == ("vapid", f"k={vapid.application_server_key}")
    assert octets_of(vapid.application_server_key) == vapid.public
    token = t.removeprefix("t=").removesuffix(",")
    claims = jwt.decode(token, key.public_key(), algorithms=["ES256"], audience="https://push.example:8443")
    assert claims["sub"] == "mailto:admin@demo.test"
    assert 0 < claims["exp"] - time.time() <= 24 * 3600
    assert jwt.get_unverified_header(token)["alg"] == "ES256"
    assert "sub" not in jwt.decode(
        Vapid(key, "").authorization("https://x").split(b"t=")[1].split(b",")[0],
        key.public_key(), algorithms=["ES256"], audience="https://x",
    )  # fmt: skip


def test_a_key_of_another_curve_is_no_key_of_ours(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key").write_bytes(pem)
    with pytest.raises(ValueError, match="P-256"):
        Vapid.from_file(tmp_path / "key", "")


def test_rfc8030_5_4_a_topic_is_of_the_types_that_changed() -> None:
    assert topic(["Email", "Mailbox"]) == topic(["Mailbox", "Email"]) != topic(["Email"])
    assert len(topic(["Email"])) <= 32
    read_base64url(topic(["Email"]))


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("120", 120), ("0", 0), ("", 0), ("-5", 0), ("x", 0), ("9" * 40, 86_400), ("\u0663", 0),
        ("Thu, 01 Jan 1970 00:10:00 GMT", 500), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Thu, 99 Foo", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)  # fmt: skip
def test_rfc9110_10_2_3_retry_after_is_seconds_or_a_date(field: str, seconds: float) -> None:
    assert retry_after(field, 100.0) == seconds
