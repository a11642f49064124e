"""Keys, the file of key-encryption keys, hashes of addresses, account keys, envelopes and errors."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import asyncpg
import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_kit.ids import AccountId, new_blob_id
from petitbleu_kit.lifecycle import StartupError
from petitbleu_store.adapters.accept_rows import partition_of_key
from petitbleu_store.adapters.keyring import FileKeyEncryption
from petitbleu_store.adapters.s3 import blob_name, segment_name
from petitbleu_store.domain import envelope
from petitbleu_store.domain.keys import AddressHash, Wrapper, WrongKeyError, derive, new_key
from petitbleu_store.errors import Problem, StoreError, problem_of, status_of
from petitbleu_store.service.account_keys import AccountKeys
from petitbleu_store.service.ring import COLD_SLOT, SEGMENT_SLOT
from petitbleu_store.service.segments import object_name


def keyring(path: Path, active: str, names: list[str]) -> None:
    keys = {name: base64.b64encode(name.encode().ljust(32, b".")).decode() for name in names}
    path.write_text(json.dumps({"active": active, "keys": keys}))


def test_a_wrapped_key_opens_for_its_purpose_only() -> None:
    wrapper, key = Wrapper(new_key()), new_key()
    wrapped = wrapper.wrap(key, b"blob 1")
    assert wrapper.unwrap(wrapped, b"blob 1") == key
    assert wrapper.wrap(key, b"blob 1") != wrapped
    for broken, purpose in ((wrapped, b"blob 2"), (wrapped[:-1], b"blob 1"), (b"", b"blob 1"), (bytes(60), b"blob 1")):
        with pytest.raises(WrongKeyError):
            wrapper.unwrap(broken, purpose)
    with pytest.raises(WrongKeyError):
        Wrapper(new_key()).unwrap(wrapped, b"blob 1")


def test_derived_keys_differ_by_purpose() -> None:
    assert derive(bytes(32), b"a") != derive(bytes(32), b"b")
    assert derive(bytes(32), b"a") == derive(bytes(32), b"a")


@given(st.text(min_size=1, max_size=80))
def test_an_address_hash_fits_a_bigint_and_ignores_case(address: str) -> None:
    hashed = AddressHash(bytes(32))
    value = hashed.of(address)
    assert -(1 << 63) <= value < 1 << 63
    assert hashed.of(address.lower()) == value
    assert hashed.of("") == 0


def test_an_address_hash_depends_on_the_key() -> None:
    assert AddressHash(bytes(32)).of("a@b.test") != AddressHash(os.urandom(32)).of("a@b.test")


async def test_keys_of_the_file_wrap_and_rotate(tmp_path: Path) -> None:
    file = tmp_path / "kek.json"
    keyring(file, "one", ["one"])
    ring, key = FileKeyEncryption(file), new_key()
    wrapped = await ring.wrap(key, b"x")
    assert ring.is_current(wrapped)
    keyring(file, "two", ["one", "two"])
    other = FileKeyEncryption(file)
    assert not other.is_current(wrapped)
    assert await other.unwrap(wrapped, b"x") == key
    fresh = await other.wrap(key, b"x")
    # A process that has not heard of the new key reads the file when it meets it.
    assert await ring.unwrap(fresh, b"x") == key
    keyring(file, "two", ["two"])
    ring.reload()
    with pytest.raises(WrongKeyError):
        await ring.unwrap(wrapped, b"x")
    with pytest.raises(WrongKeyError):
        await ring.unwrap(b"", b"x")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"active": "a", "keys": {}}',
        '{"active": "a", "keys": {"a": "%%%"}}',
        '{"active": "a", "keys": {"a": "AAAA"}}',
    ],
)
def test_a_wrong_file_of_keys_is_one_clear_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "kek.json"
    file.write_text(content)
    with pytest.raises(StartupError, match="key-encryption keys"):
        FileKeyEncryption(file)
    with pytest.raises(StartupError, match="PETITBLEU_KEK_FILE"):
        FileKeyEncryption(tmp_path / "none")


async def test_a_rotation_elsewhere_is_followed_before_a_new_key_is_wrapped(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keyring(file, "a", ["a"])
    ring, key = FileKeyEncryption(file), new_key()
    first = json.loads(file.read_text())["keys"]["a"]
    second = base64.b64encode(new_key()).decode()
    file.write_text(json.dumps({"active": "b", "keys": {"a": first, "b": second}}))  # another replica rotates to b
    wrapped = await ring.wrap(key, b"purpose")
    file.write_text(json.dumps({"active": "b", "keys": {"b": second}}))  # and the operator takes a away
    assert await FileKeyEncryption(file).unwrap(wrapped, b"purpose") == key
    file.write_text("{")  # half written
    assert await ring.unwrap(await ring.wrap(key, b"purpose"), b"purpose") == key


async def test_account_keys_are_remembered_until_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "kek.json"
    keyring(file, "one", ["one"])
    encryption = FileKeyEncryption(file)
    keys = AccountKeys(encryption, remembered=2)
    wrapped = {number: await keys.generate(AccountId(number)) for number in (1, 2, 3)}
    opened = {number: await keys.unwrap(AccountId(number), one) for number, one in wrapped.items()}
    assert len({*opened.values()}) == 3
    assert list(keys._known) == [2, 3]
    keys.forget(AccountId(2))
    assert list(keys._known) == [3]
    with pytest.raises(WrongKeyError):
        await keys.unwrap(AccountId(9), wrapped[1])
    assert await keys.rotated(AccountId(1), wrapped[1]) is None
    keyring(file, "two", ["one", "two"])
    encryption.reload()
    rotated = await keys.rotated(AccountId(1), wrapped[1])
    assert rotated is not None
    assert await keys.unwrap(AccountId(1), rotated) == opened[1]
    blob_key = new_key()
    sealed = AccountKeys.wrap_blob_key(opened[1], blob_key, b"blob")
    assert AccountKeys.unwrap_blob_key(opened[1], sealed, b"blob") == blob_key


@given(
    st.builds(
        envelope.Envelope, st.text(max_size=40), st.text(max_size=40), st.booleans(),
        st.lists(st.builds(envelope.Recipient, st.text(max_size=40), st.text(max_size=9), st.text(max_size=9)), max_size=4).map(tuple),
        st.booleans(), st.booleans(), st.sampled_from(["", "FULL", "HDRS"]), st.text(max_size=20), st.text(max_size=55),
    )
)  # fmt: skip
def test_envelopes_come_back(one: envelope.Envelope) -> None:
    assert envelope.decode(envelope.encode(one)) == one


def test_an_envelope_of_an_older_version_is_read() -> None:
    import msgspec

    old = msgspec.msgpack.encode(["a@b.test", "", True, [["c@d.test"]]])
    assert envelope.decode(old) == envelope.Envelope("a@b.test", "", True, (envelope.Recipient("c@d.test"),))


@given(st.binary(min_size=16, max_size=16))
def test_the_partition_of_a_key_is_its_first_ten_bits(key: bytes) -> None:
    assert partition_of_key(key) == int.from_bytes(key, "big") >> 118


def test_objects_are_named_by_what_their_id_says() -> None:
    segment, alone = new_blob_id(3, SEGMENT_SLOT), new_blob_id(3, COLD_SLOT)
    assert object_name(segment) == segment_name(segment)
    assert object_name(alone) == blob_name(alone)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StoreError(Problem.BUSY), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (asyncpg.DiskFullError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (asyncpg.ConnectionDoesNotExistError("x"), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.AdminShutdownError("x"), grpc.StatusCode.UNAVAILABLE),
        (ConnectionRefusedError(), grpc.StatusCode.UNAVAILABLE),
        (TimeoutError(), grpc.StatusCode.UNAVAILABLE),
        (StoreError(Problem.STATE_MISMATCH), grpc.StatusCode.ABORTED),
        (KeyError("x"), None),
        (asyncpg.NotNullViolationError("x"), None),
    ],
)
def test_errors_have_one_answer_each(error: Exception, expected: grpc.StatusCode | None) -> None:
    problem = problem_of(error)
    assert (problem and status_of(problem)) == expected
