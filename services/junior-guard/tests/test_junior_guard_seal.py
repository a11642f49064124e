"""Hashes find an address of one child only; seals open for that child and that key only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.adapters.key_file import read_key
from petitbleu_junior_guard.domain.seal import Seal, SealError
from petitbleu_kit.lifecycle import StartupError

SEAL = Seal(bytes(range(32)))


@given(st.integers(1, 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"]), max_size=320))
def test_a_seal_opens_to_what_was_sealed(account_id: int, address: str) -> None:
    sealed = SEAL.seal(account_id, address)
    assert SEAL.open(account_id, sealed) == address
    assert len(address) < 4 or address.encode() not in sealed
    with pytest.raises(SealError):
        SEAL.open(account_id ^ 1, sealed)
    with pytest.raises(SealError):
        Seal(bytes(32)).open(account_id, sealed)


@given(st.binary(max_size=100))
def test_what_was_not_sealed_does_not_open(rubbish: bytes) -> None:
    with pytest.raises(SealError):
        SEAL.open(1, rubbish)


def test_two_children_with_one_correspondent_cannot_be_compared() -> None:
    assert SEAL.hash(1, "aunt@else.test") != SEAL.hash(2, "aunt@else.test")
    assert SEAL.seal(1, "aunt@else.test") != SEAL.seal(1, "aunt@else.test")


def test_the_fingerprint_tells_keys_apart() -> None:
    assert SEAL.fingerprint == Seal(bytes(range(32))).fingerprint
    assert SEAL.fingerprint != Seal(os.urandom(32)).fingerprint


def test_the_key_is_made_once_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "junior-guard.key"
    with pytest.raises(StartupError):
        read_key(path, may_make=False)
    made = read_key(path, may_make=True)
    assert len(made) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path, may_make=True) == read_key(path, may_make=False) == made
    path.write_bytes(b"short")
    with pytest.raises(StartupError):
        read_key(path, may_make=True)
