"""SCRAM-SHA-256: the exchange of RFC 7677 §3, what is refused, and any octets."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.scram_client import ScramClient

from petitbleu_mail.sasl import SaslError
from petitbleu_mail.scram import (
    ScramMismatchError,
    check_binding,
    client_final,
    client_first,
    proves,
    server_final,
    server_first,
    server_signature,
    signed_by_all,
    verifier_of,
)

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
SERVER = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
CHALLENGE = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


def test_rfc7677_3_example() -> None:
    first = client_first(FIRST)
    assert (first.login, first.binding, first.knows_binding) == ("user", "", False)
    assert server_first(first, SERVER, SALT, 4096) == CHALLENGE
    final = client_final(FINAL)
    check_binding(first, final, SERVER, b"")
    message = signed_by_all(first, CHALLENGE, final)
    kept = verifier_of("pencil", SALT, 4096)
    assert proves(kept, message, final.proof)
    assert server_final(server_signature(kept, message)) == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert not proves(verifier_of("pencils", SALT, 4096), message, final.proof)
    assert not proves(kept, message + b"x", final.proof)
    assert not proves(kept, message, final.proof[:-1])


@pytest.mark.parametrize(
    "message",
    [
        b"", b"n", b"n,", b"n,,", b"n,,n=user", b"x,,n=user,r=abc", b"n,,n=,r=abc", b"n,,n=us=er,r=abc", b"n,,n=user,r=",
        b"n,,n=user,r=a\x07", b"n,,m=ext,n=user,r=abc", b"n,a=other,n=user,r=abc", b"n,b,n=user,r=abc", b"n,,n=us\0er,r=a", b"\xff",
    ],
)  # fmt: skip
def test_rfc5802_7_what_is_no_first_message(message: bytes) -> None:
    with pytest.raises(SaslError):
        client_first(message)


def test_rfc5802_5_1_names_and_channel_binding() -> None:
    first = client_first(b"p=tls-server-end-point,a=a=2Cb=3D,n=a=2Cb=3D,r=abc,ext=1")
    assert (first.login, first.nonce, first.binding, first.knows_binding) == (
        "a,b=",
        "abc",
        "tls-server-end-point",
        True,
    )
    assert first.header == "p=tls-server-end-point,a=a=2Cb=3D,"
    assert client_first(b"y,,n=user,r=abc").knows_binding


@given(st.binary(max_size=32), st.binary(max_size=32), st.binary(max_size=32))
def test_rfc5802_6_another_channel_is_not_this_one(here: bytes, there: bytes, other: bytes) -> None:
    client = ScramClient("user", "pencil", binding=there)
    first = client_first(client.first().encode())
    final = client_final(client.final(server_first(first, "server", SALT, 4096)).encode())
    if bool(first.binding) and here != there:
        with pytest.raises(ScramMismatchError):
            check_binding(first, final, "server", here)
    else:
        check_binding(first, final, "server", here)
    with pytest.raises(ScramMismatchError):
        check_binding(first, final, "server" + other.hex() + "x", here)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567-", min_size=1), st.text(alphabet="ab-", min_size=1))
def test_a_client_with_the_password_and_no_other_is_believed(password: str, other: str) -> None:
    client = ScramClient("a,b=c", password)
    first = client_first(client.first().encode())
    assert first.login == "a,b=c"
    challenge = server_first(first, "server", SALT, 4096)
    final = client_final(client.final(challenge).encode())
    message = signed_by_all(first, challenge, final)
    assert proves(verifier_of(password, SALT, 4096), message, final.proof)
    assert proves(verifier_of(other, SALT, 4096), message, final.proof) == (other == password)
    assert client.believes(server_final(server_signature(verifier_of(password, SALT, 4096), message)))


@given(
    st.binary(max_size=100)
    | st.lists(st.sampled_from([b"n", b"y", b"p=x", b",", b"n=u", b"r=a", b"c=biws", b"p=", b"=2C", b"="])).map(
        b"".join
    )
)
def test_any_octets_are_a_message_or_none(octets: bytes) -> None:
    for read in (client_first, client_final):
        with contextlib.suppress(SaslError):
            read(octets)
