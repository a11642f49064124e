"""The format of sealed bodies: it comes back, by ranges too, and nothing altered is taken for it."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from petitbleu_kit.ids import new_blob_id
from petitbleu_store.domain import frames
from petitbleu_store.domain.frames import FRAME_OCTETS, DamagedError

KEY = bytes(range(32))
BLOB = new_blob_id(5, 1)

bodies = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda unit, octets: (unit * (octets // len(unit) + 1))[:octets],
        st.binary(min_size=1, max_size=64),
        st.one_of(
            st.integers(0, 4 * FRAME_OCTETS),
            st.sampled_from([FRAME_OCTETS * n + d for n in (1, 2, 3) for d in (-1, 0, 1)]),
        ),
    ),
)


def stream(sealed: bytes, offset: int, length: int | None) -> bytes:
    index = frames.index_of(KEY, BLOB, sealed)
    wanted = frames.range_of(index, offset, length)
    if wanted is None:
        return b""
    start, span = index.span(*wanted)
    contents = list(frames.open_frames(KEY, BLOB, index, wanted[0], sealed[start : start + span]))
    return b"".join(frames.clip(contents, wanted[0], offset, length))


@given(bodies, st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_what_is_sealed_comes_back(body: bytes, level: int) -> None:
    assert frames.unseal(KEY, BLOB, frames.seal(KEY, BLOB, body, level)) == body


@given(bodies, st.lists(st.integers(1, 200_000), max_size=6))
@settings(max_examples=100, deadline=None)
def test_pieces_make_the_same_octets_as_the_whole(body: bytes, cuts: list[int]) -> None:
    sealer = frames.Sealer(KEY, BLOB)
    sealed: list[bytes] = []
    position = 0
    for cut in cuts:
        sealed.extend(sealer.update(body[position : position + cut]))
        position += cut
    sealed.extend(sealer.update(body[position:]))
    sealed.extend(sealer.finish())
    assert b"".join(sealed) == frames.seal(KEY, BLOB, body)
    assert sealer.octets == len(body)


@given(bodies, st.integers(0, 5 * FRAME_OCTETS), st.one_of(st.none(), st.integers(0, 3 * FRAME_OCTETS)))
@settings(max_examples=200, deadline=None)
def test_a_range_is_that_part_of_the_body(body: bytes, offset: int, length: int | None) -> None:
    sealed = frames.seal(KEY, BLOB, body)
    assert stream(sealed, offset, length) == body[offset : None if length is None else offset + length]


@given(bodies, st.data())
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_is_found(body: bytes, data: st.DataObject) -> None:
    sealed = bytearray(frames.seal(KEY, BLOB, body))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedError):
        frames.unseal(KEY, BLOB, bytes(sealed))


@given(bodies, st.data())
@settings(max_examples=200, deadline=None)
def test_a_truncation_or_an_appended_octet_is_found(body: bytes, data: st.DataObject) -> None:
    sealed = frames.seal(KEY, BLOB, body)
    with pytest.raises(DamagedError):
        frames.unseal(KEY, BLOB, sealed[: data.draw(st.integers(0, len(sealed) - 1))])
    with pytest.raises(DamagedError):
        frames.unseal(KEY, BLOB, sealed + data.draw(st.binary(min_size=1, max_size=40)))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_rubbish_is_refused(octets: bytes) -> None:
    for sealed in (octets, b"PB\x01\x00" + octets, b"PB\x01\x01" + octets):
        with pytest.raises(DamagedError):
            frames.unseal(KEY, BLOB, sealed)


def frames_of(sealed: bytes) -> tuple[frames.Index, list[bytes]]:
    index = frames.index_of(KEY, BLOB, sealed)
    return index, [sealed[index.starts[n] : index.starts[n + 1]] for n in range(index.frames)]


def test_frames_that_change_places_are_found() -> None:
    sealed = frames.seal(KEY, BLOB, os.urandom(3 * FRAME_OCTETS))
    index, parts = frames_of(sealed)
    swapped = sealed[:4] + parts[1] + parts[0] + parts[2] + sealed[index.starts[-1] :]
    assert len(swapped) == len(sealed)
    with pytest.raises(DamagedError):
        frames.unseal(KEY, BLOB, swapped)
    with pytest.raises(DamagedError):
        list(frames.open_frames(KEY, BLOB, index, 1, parts[0]))


def test_a_body_cut_at_a_frame_cannot_pass_for_a_whole() -> None:
    sealed = frames.seal(KEY, BLOB, os.urandom(2 * FRAME_OCTETS))
    _, parts = frames_of(sealed)
    with pytest.raises(DamagedError):
        frames.unseal(KEY, BLOB, b"PB\x01\x00" + parts[0])


def test_a_body_opens_under_its_own_id_and_key_only() -> None:
    for body in (b"small", os.urandom(FRAME_OCTETS * 2)):
        sealed = frames.seal(KEY, BLOB, body)
        with pytest.raises(DamagedError):
            frames.unseal(KEY, new_blob_id(5, 1), sealed)
        with pytest.raises(DamagedError):
            frames.unseal(bytes(32), BLOB, sealed)


def test_overhead_of_a_small_body_is_21_octets() -> None:
    body = os.urandom(2000)
    assert len(frames.seal(KEY, BLOB, body)) == len(body) + 21


def test_a_bomb_is_not_unpacked() -> None:
    # Who has the key could make a frame that unpacks to more than a frame; it is refused before it is in memory.
    bomb = frames._ZSTD + frames._compressor(1).compress(bytes(50 << 20))
    sealed = frames._SINGLE + AESGCM(KEY).encrypt(frames._nonce(0, 0), bomb, frames._aad(0, BLOB, 0, last=True))
    with pytest.raises(DamagedError):
        frames.unseal(KEY, BLOB, sealed)


def test_an_envelope_is_bound_to_its_blob() -> None:
    sealed = frames.seal_envelope(KEY, BLOB, b"a@example.org")
    assert frames.open_envelope(KEY, BLOB, sealed) == b"a@example.org"
    with pytest.raises(DamagedError):
        frames.open_envelope(KEY, new_blob_id(5, 1), sealed)
    with pytest.raises(DamagedError):
        frames.unseal(KEY, BLOB, b"PB\x01\x00" + sealed)
