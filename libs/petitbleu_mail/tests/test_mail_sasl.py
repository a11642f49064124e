"""Responses of SASL are read as their mechanisms have them, and nothing else is."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail import sasl

NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)


@given(st.one_of(st.just(""), NAMES), NAMES, NAMES)
def test_plain_comes_back(authorization: str, login: str, password: str) -> None:
    response = f"{authorization}\x00{login}\x00{password}".encode()
    assert sasl.plain(sasl.decode(base64.b64encode(response))) == (authorization, login, password)


@pytest.mark.parametrize("response", [b"", b"a\0b", b"\0a\0", b"\0\0b", b"a\0b\0c\0d", b"\0\xff\0b"])
def test_what_is_no_plain_is_refused(response: bytes) -> None:
    with pytest.raises(sasl.SaslError):
        sasl.plain(response)


def test_oauth_bearer_with_and_without_a_login() -> None:
    assert sasl.oauth_bearer(b"n,a=me=2Cyou@x.test,\x01host=h\x01auth=Bearer abc.~+/=\x01\x01") == (
        "me,you@x.test",
        "abc.~+/=",
    )
    assert sasl.oauth_bearer(b"y,,\x01auth=bearer t\x01\x01") == ("", "t")


@pytest.mark.parametrize(
    "response",
    [
        b"p=tls,,\x01auth=Bearer t\x01\x01",
        b"n,,\x01auth=Basic t\x01\x01",
        b"n,,\x01auth=Bearer t\x01",
        b"n,,\x01\x01",
        b"\xff",
        b"n",
    ],
)
def test_what_is_no_oauth_bearer_is_refused(response: bytes) -> None:
    with pytest.raises(sasl.SaslError):
        sasl.oauth_bearer(response)


@given(st.binary(max_size=200))
def test_any_octets_are_an_answer_or_refused(octets: bytes) -> None:
    for read in (sasl.decode, sasl.plain, sasl.oauth_bearer):
        with contextlib.suppress(sasl.SaslError):
            read(octets)
