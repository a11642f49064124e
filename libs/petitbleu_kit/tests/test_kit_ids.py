"""Ids carry their partition, and partitions never change."""

import time

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_kit.ids import (
    PARTITIONS,
    millis_of_blob,
    new_account_id,
    new_blob_id,
    new_row_id,
    partition_of_account,
    partition_of_blob,
    slot_of_blob,
)


@given(st.integers(0, PARTITIONS - 1), st.integers(0, 15))
def test_blob_id_gives_back_partition_and_slot(partition: int, slot: int) -> None:
    blob_id = new_blob_id(partition, slot)
    assert (partition_of_blob(blob_id), slot_of_blob(blob_id)) == (partition, slot)
    assert blob_id.version == 8
    assert blob_id.variant == "specified in RFC 4122"


def test_blob_id_carries_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = millis_of_blob(new_blob_id(7, 1))
    assert before <= made <= time.time_ns() // 1_000_000


def test_blob_ids_of_one_place_and_instant_differ() -> None:
    assert len({new_blob_id(3, 2) for _ in range(10_000)}) == 10_000


def test_account_partitions_are_what_they_were_when_the_first_row_was_written() -> None:
    # Changing any of these loses every row of every account: the hash is for ever.
    assert [partition_of_account(number) for number in (1, 2, 3, 1 << 62)] == [820, 820, 853, 641]


def test_accounts_spread_over_all_partitions() -> None:
    counts = [0] * PARTITIONS
    for number in range(1, 50_001):
        counts[partition_of_account(number)] += 1
    assert min(counts) > 15
    assert max(counts) < 110


def test_new_ids_are_positive_and_fit_a_bigint() -> None:
    for make in (new_account_id, new_row_id):
        assert all(0 < make() < 1 << 63 for _ in range(1000))
