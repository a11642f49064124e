"""RFC 8621 §4.3 and RFC 8620 §5.2: Email/changes."""

from __future__ import annotations

import pytest
from tests.conformance.jmap_client import JmapClient


def state(jmap: JmapClient) -> str:
    return str(jmap.call("Email/get", ids=[])["state"])


def test_rfc8620_5_2_nothing_changed(jmap: JmapClient) -> None:
    now = state(jmap)
    found = jmap.call("Email/changes", sinceState=now)
    assert found == {
        "accountId": jmap.account, "oldState": now, "newState": now, "hasMoreChanges": False, "created": [], "updated": [],
        "destroyed": [],
    }  # fmt: skip


def test_rfc8620_5_2_created_updated_destroyed(jmap: JmapClient) -> None:
    kept, gone = jmap.mail(), jmap.mail()
    before = state(jmap)
    new = jmap.mail()
    jmap.call("Email/set", update={kept: {"keywords/$seen": True}}, destroy=[gone])
    found = jmap.call("Email/changes", sinceState=before)
    assert (found["created"], found["updated"], found["destroyed"]) == ([new], [kept], [gone])
    assert found["newState"] == state(jmap)


def test_rfc8620_5_2_made_and_destroyed_in_between_is_not_named(jmap: JmapClient) -> None:
    before = state(jmap)
    brief = jmap.mail()
    jmap.call("Email/set", destroy=[brief])
    found = jmap.call("Email/changes", sinceState=before)
    assert brief not in found["created"] + found["updated"]


def test_rfc8620_5_2_max_changes_leads_on_step_by_step(jmap: JmapClient) -> None:
    before = state(jmap)
    made = [jmap.mail() for _ in range(5)]
    seen: list[str] = []
    more = True
    for _ in range(10):
        if not more:
            break
        found = jmap.call("Email/changes", sinceState=before, maxChanges=2)
        assert len(found["created"]) + len(found["updated"]) + len(found["destroyed"]) <= 2
        seen += found["created"]
        before, more = found["newState"], found["hasMoreChanges"]
    assert seen == made
    assert before == state(jmap)


@pytest.mark.parametrize("since", ["", "nonsense", "-1", "1.5", "99999999999999999999999", "999999999", "01", "\u0661"])
def test_rfc8620_5_2_cannot_calculate_changes(jmap: JmapClient, since: str) -> None:
    for method in ("Email/changes", "Mailbox/changes", "Thread/changes"):
        assert jmap.fails(method, sinceState=since)["type"] == "cannotCalculateChanges"


def test_rfc8620_5_2_all_ways_of_reading_name_one_state(jmap: JmapClient) -> None:
    jmap.mail()
    now = state(jmap)
    assert jmap.call("Email/changes", sinceState=now)["newState"] == now
    assert jmap.call("Email/set")["newState"] == now
