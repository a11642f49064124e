"""Proofs of work: ours only, in time, with as many zero bits as were asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_accounts.domain.proof_of_work import Proof, ProofFault, challenge, check, difficulty, proves

KEY = bytes(range(32))
NONCE = b"n" * 16
NOW = 1_000_000


def solved(text: str, bits: int) -> str:
    return next(str(number) for number in range(1 << 24) if proves(text, str(number), bits))


def test_a_solved_challenge_proves_and_names_its_nonce() -> None:
    text = challenge(KEY, NONCE, 8, NOW + 60)
    assert check(KEY, text, solved(text, 8), NOW) == Proof(NONCE, NOW + 60)


def test_its_end_is_its_end() -> None:
    text = challenge(KEY, NONCE, 0, NOW)
    assert check(KEY, text, "0", NOW) == Proof(NONCE, NOW)
    assert check(KEY, text, "0", NOW + 1) is ProofFault.STALE


def test_another_key_or_another_price_is_not_ours() -> None:
    text = challenge(KEY, NONCE, 30, NOW + 60)
    cheap = challenge(bytes(32), NONCE, 0, NOW + 60)
    assert check(KEY, cheap, "0", NOW) is ProofFault.STALE
    for at in range(len(text)):
        for letter in "Az0_":
            other = text[:at] + letter + text[at + 1 :]
            if other != text:
                assert check(KEY, other, "0", NOW) is ProofFault.STALE


@pytest.mark.parametrize("answer", ["", "-1", "1.0", " 1", "1\n", "x", "9" * 21, "²", "\u0661"])
def test_what_is_no_number_solves_nothing(answer: str) -> None:
    assert check(KEY, challenge(KEY, NONCE, 0, NOW + 60), answer, NOW) is ProofFault.WRONG


def test_too_few_zero_bits_are_wrong() -> None:
    text = challenge(KEY, NONCE, 12, NOW + 60)
    wrong = next(str(number) for number in range(1000) if not proves(text, str(number), 12))
    assert check(KEY, text, wrong, NOW) is ProofFault.WRONG


@given(st.text(max_size=80), st.text(max_size=30))
def test_no_text_is_a_challenge_of_ours_and_none_fails(text: str, answer: str) -> None:
    assert check(KEY, text, answer, NOW) is ProofFault.STALE


def test_the_price_doubles_with_the_rate_up_to_a_bound() -> None:
    assert [difficulty(10, 14, count, 20) for count in (0, 1, 20, 21, 40, 41, 80, 81, 10_000_000)] == [
        10, 10, 10, 11, 11, 12, 12, 13, 14,
    ]  # fmt: skip
