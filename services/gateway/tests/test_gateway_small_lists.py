"""Short lists: the order of RFC 8620 §5.5, and filters of notifications of shares (RFC 9670 §3.6)."""

from __future__ import annotations

from typing import Any

import pytest

from petitbleu_gateway.domain.small_lists import ordered
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.methods.share_notification import _condition

PEOPLE = [{"name": name} for name in ("b", "A", "\u00c9", "\u00e9a", "C", None)]


def names(**comparator: Any) -> list[str | None]:
    return [one["name"] for one in ordered(PEOPLE, [{"property": "name", **comparator}], ["name"])]


def test_rfc8620_5_5_collations_that_are_announced_are_known() -> None:
    folded = [None, "A", "b", "C", "\u00c9", "\u00e9a"]
    assert names() == names(collation="i;unicode-casemap") == folded
    assert names(collation="i;ascii-casemap") == folded
    assert names(collation="i;unicode-casemap", isAscending=False) == folded[::-1]
    for wrong in ({"collation": "i;nonsense"}, {"property": "email"}):
        with pytest.raises(MethodError) as error:
            names(**wrong)
        assert error.value.fault is Fault.UNSUPPORTED_SORT
    with pytest.raises(MethodError) as error:
        names(collation=1)
    assert error.value.fault is Fault.INVALID_ARGUMENTS


@pytest.mark.parametrize("date", ["2024-01-01T00:00:00+05:00", "2024-01-01", "2024-01-01T00:00:00", "x", "", 5])
@pytest.mark.parametrize("bound", ["after", "before"])
def test_rfc8620_1_4_what_is_no_utc_date_is_an_invalid_argument(bound: str, date: object) -> None:
    with pytest.raises(MethodError) as error:
        _condition({bound: date})
    assert error.value.fault is Fault.INVALID_ARGUMENTS


def test_rfc9670_3_6_notifications_are_found_by_their_date() -> None:
    shown = {"created": "2024-01-02T00:00:00Z", "objectType": "Mailbox", "objectAccountId": "a1"}
    assert _condition({"after": "2024-01-01T00:00:00Z", "before": "2024-01-03T00:00:00.5Z"})(shown)
    assert not _condition({"after": "2024-01-03T00:00:00Z"})(shown)
