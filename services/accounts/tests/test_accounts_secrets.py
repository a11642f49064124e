"""Forms and digests of passwords, app passwords and tokens."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_accounts.domain.secrets import (
    MAX_PASSWORD_OCTETS,
    app_password_digest,
    new_app_password,
    new_token,
    open_token,
    prepare_password,
)


@given(st.text(max_size=1100))
def test_any_text_is_prepared_or_refused_and_preparing_twice_changes_nothing(text: str) -> None:
    prepared = prepare_password(text)
    if prepared is not None:
        assert prepare_password(prepared) == prepared
        assert unicodedata.is_normalized("NFC", prepared)
        assert 0 < len(prepared.encode()) <= MAX_PASSWORD_OCTETS


def test_the_same_password_typed_on_two_keyboards_is_the_same() -> None:
    assert prepare_password("ma\u0301 cle\u00a0secre\u0300te") == prepare_password("m\u00e1 cle secr\u00e8te")


def test_what_cannot_be_a_password_is_refused() -> None:
    for text in ("", "a\0b", "line\nbreak", "\ud800", "x" * 1025, "é" * 513):
        assert prepare_password(text) is None
    assert prepare_password("é" * 512) is not None


def test_an_app_password_has_128_bits_and_many_spellings() -> None:
    password = new_app_password()
    plain = password.replace("-", "")
    assert len(plain) == 26
    digests = {app_password_digest(7, form) for form in (password, plain, plain.upper(), password.replace("-", " "))}
    assert len(digests) == 1
    assert app_password_digest(8, password) not in digests
    assert len({new_app_password() for _ in range(200)}) == 200


@given(st.text(max_size=80))
def test_any_text_has_a_digest_or_is_no_app_password(text: str) -> None:
    digest = app_password_digest(1, text)
    assert digest is None or len(digest) == 32


@given(st.integers(0, 1023))
def test_a_token_names_its_partition(partition: int) -> None:
    token = new_token(partition)
    opened = open_token(token)
    assert opened is not None
    assert opened[0] == partition
    assert len(opened[1]) == 32
    other = open_token(new_token(partition))
    assert other is not None
    assert other[1] != opened[1]


@given(st.text(max_size=60) | st.from_regex(r"pb_[A-Za-z0-9_-]{46}", fullmatch=True))
def test_any_text_opens_or_is_no_token(text: str) -> None:
    opened = open_token(text)
    assert opened is None or 0 <= opened[0] <= 1023
