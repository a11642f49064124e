"""RFC 8621 §4.4.1: the conditions of Email/query on keywords of threads, and several conditions at once."""

from __future__ import annotations

from typing import Any

from tests.conformance.jmap_client import JmapClient


def query(jmap: JmapClient, **condition: Any) -> set[str]:
    return set(jmap.call("Email/query", filter=condition)["ids"])


def negated(jmap: JmapClient, **condition: Any) -> set[str]:
    return query(jmap, operator="NOT", conditions=[condition])


def test_rfc8621_4_4_1_conditions_on_keywords_of_the_thread(jmap: JmapClient) -> None:
    first = jmap.mail("Plan", message_id="plan1@x.example")
    second = jmap.mail("Re: Plan", message_id="plan2@x.example", fields="In-Reply-To: <plan1@x.example>\r\n")
    alone = jmap.mail("Alone")
    archive = jmap.mailbox("archive")
    # RFC 8621 §4.4.1: all Emails of the Thread count, wherever they are
    jmap.call("Email/set", update={first: {"keywords/$flagged": True, "mailboxIds": {archive: True}}})
    assert query(jmap, allInThreadHaveKeyword="$flagged") == set()
    assert query(jmap, someInThreadHaveKeyword="$Flagged") == {first, second}
    assert query(jmap, noneInThreadHaveKeyword="$flagged") == {alone}
    assert query(jmap, someInThreadHaveKeyword="$flagged", inMailbox=archive) == {first}
    jmap.call("Email/set", update={second: {"keywords/$flagged": True}, alone: {"keywords/label": True}})
    assert query(jmap, allInThreadHaveKeyword="$flagged") == {first, second}
    assert query(jmap, allInThreadHaveKeyword="label") == {alone}
    assert query(jmap, someInThreadHaveKeyword="$flagged", noneInThreadHaveKeyword="label") == {first, second}
    assert negated(jmap, someInThreadHaveKeyword="$flagged") == {alone}
    assert negated(jmap, allInThreadHaveKeyword="$flagged") == {alone}
    assert negated(jmap, noneInThreadHaveKeyword="$flagged") == {first, second}
    found = jmap.call(
        "Email/query", filter={"someInThreadHaveKeyword": "$flagged"}, collapseThreads=True, calculateTotal=True
    )
    assert found["total"] == 1


def test_rfc8621_4_4_1_zero_properties_match_all_and_several_are_an_and(jmap: JmapClient) -> None:
    one, two = jmap.mail("one"), jmap.mail("two")
    jmap.call(
        "Email/set", update={one: {"keywords/$seen": True, "keywords/$flagged": True}, two: {"keywords/$seen": True}}
    )
    assert query(jmap) == {one, two}
    assert query(jmap, operator="NOT", conditions=[{}]) == set()
    assert query(jmap, hasKeyword="$seen", notKeyword="$flagged") == {two}
    assert query(jmap, operator="AND", conditions=[{"hasKeyword": "$seen"}, {"notKeyword": "$flagged"}]) == {two}
    assert query(jmap, operator="AND", conditions=[]) == {one, two}
    assert query(jmap, operator="OR", conditions=[]) == set()
    assert jmap.call("Email/query", filter=None, calculateTotal=True)["total"] == 2
