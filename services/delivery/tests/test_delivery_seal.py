"""The key of delivery, and what is sealed and hashed under it."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.domain.seal import Seal, SealError
from petitbleu_kit.lifecycle import StartupError

KEY = bytes(range(32))


def test_what_is_sealed_opens_for_its_owner_and_purpose_alone() -> None:
    seal = Seal(KEY, "scripts")
    sealed = seal.seal(7, b"name1", b"octets")
    assert seal.open(7, b"name1", sealed) == b"octets"
    assert b"octets" not in sealed
    for other, owner, what in ((seal, 8, b"name1"), (seal, 7, b"name2"), (Seal(KEY, "domains"), 7, b"name1")):
        with pytest.raises(SealError):
            other.open(owner, what, sealed)
    for broken in (b"", b"\x02" + sealed[1:], sealed[:-1], sealed[:20]):
        with pytest.raises(SealError):
            seal.open(7, b"name1", broken)


def test_hashes_differ_by_owner_and_by_where_pieces_end() -> None:
    seal = Seal(KEY, "scripts")
    assert seal.hash(1, b"a", b"bc") == seal.hash(1, b"a", b"bc")
    assert len({seal.hash(1, b"a", b"bc"), seal.hash(1, b"ab", b"c"), seal.hash(2, b"a", b"bc")}) == 3


def test_the_key_is_made_once_and_read_ever_after(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "delivery.key"
    key = read_key(path)
    assert (len(key), read_key(path)) == (32, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for wrong in (b"no base64!", base64.b64encode(b"short")):
        path.write_bytes(wrong)
        with pytest.raises(StartupError):
            read_key(path)
