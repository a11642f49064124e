"""RFC 8621 §4.4.1: the conditions of Email/query on texts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient


def query(jmap: JmapClient, **condition: Any) -> set[str]:
    return set(jmap.call("Email/query", filter=condition)["ids"])


def negated(jmap: JmapClient, **condition: Any) -> set[str]:
    return query(jmap, operator="NOT", conditions=[condition])


def put_letters(jmap: JmapClient) -> dict[str, str]:
    aline = "Aline Duroc <aline@paris.example>"
    letters = {
        "from": f"From: {aline}\r\nTo: q@x.example\r\nSubject: Note\r\n\r\nRien.\r\n",
        "to": f"From: q@x.example\r\nTo: {aline}\r\nSubject: Note\r\n\r\nRien.\r\n",
        "cc": f"From: q@x.example\r\nCc: {aline}\r\nSubject: Note\r\n\r\nRien.\r\n",
        "bcc": f"From: q@x.example\r\nBcc: {aline}\r\nSubject: Note\r\n\r\nRien.\r\n",
        "subject": "From: q@x.example\r\nSubject: La lettre d'Aline\r\n\r\nRien.\r\n",
        "body": "From: q@x.example\r\nSubject: Note\r\n\r\nUne lettre pour Aline, demain.\r\n",
        "none": "From: q@x.example\r\nSubject: Note\r\n\r\nRien.\r\n",
    }
    return {name: jmap.put(text.encode()) for name, text in letters.items()}


@pytest.mark.parametrize("scope", ["from", "to", "cc", "bcc", "subject", "body"])
def test_rfc8621_4_4_1_text_of_one_place(jmap: JmapClient, scope: str) -> None:
    letters = put_letters(jmap)
    assert query(jmap, **{scope: "aline"}) == {letters[scope]}
    assert negated(jmap, **{scope: "aline"}) == set(letters.values()) - {letters[scope]}
    assert query(jmap, **{scope: "absent"}) == set()


def test_rfc8621_4_4_1_text_looks_in_headers_and_bodies(jmap: JmapClient) -> None:
    letters = put_letters(jmap)
    assert query(jmap, text="aline") == set(letters.values()) - {letters["none"]}
    assert query(jmap, text="aline@paris.example") == {letters[name] for name in ("from", "to", "cc", "bcc")}
    assert query(jmap, text="aline lettre") == {letters["subject"], letters["body"]}
    assert query(jmap, text='"lettre pour aline"') == {letters["body"]}
    assert query(jmap, text="aline", subject="note", inMailbox=jmap.mailbox("inbox")) == {
        letters[name] for name in ("from", "to", "cc", "bcc", "body")
    }
    either = [{"from": "aline"}, {"subject": "aline"}]
    assert query(jmap, operator="OR", conditions=either) == {letters["from"], letters["subject"]}
    assert negated(jmap, text="aline") == {letters["none"]}


def test_rfc8621_4_4_1_header(jmap: JmapClient) -> None:
    with_field = jmap.mail("a", fields="X-Custom: Some Value 12345\r\n")
    other = jmap.mail("b", fields="X-Other: nothing\r\nx-custom: else\r\n")
    without = jmap.mail("c")
    assert query(jmap, header=["X-Custom"]) == {with_field, other}
    assert query(jmap, header=["x-CUSTOM"]) == {with_field, other}
    assert query(jmap, header=["X-Custom", "value 123"]) == {with_field}
    assert query(jmap, header=["X-Custom", '"value 123"']) == {with_field}
    assert query(jmap, header=["X-Custom", "12345 some"]) == {with_field}
    assert query(jmap, header=["X-Custom", '"12345 some"']) == set()
    assert query(jmap, header=["X-Other", "value"]) == set()
    assert query(jmap, header=["X-Absent"]) == set()
    assert negated(jmap, header=["X-Custom"]) == {without}


def test_rfc8620_5_5_a_text_that_is_too_much_is_refused(jmap: JmapClient) -> None:
    jmap.mail()
    state = jmap.call("Email/query")["queryState"]
    many = [{"subject": f"word{number}"} for number in range(50)]
    for wanted in (
        {"text": "x" * 5000}, {"body": "a b c d " * 40}, {"header": ["x" * 200]}, {"header": ["x", "y" * 2000]},
        {"operator": "OR", "conditions": many},
    ):  # fmt: skip
        assert jmap.fails("Email/query", filter=wanted)["type"] == "unsupportedFilter"
        found = jmap.fails("Email/queryChanges", filter=wanted, sinceQueryState=state)
        assert found["type"] == "unsupportedFilter"


def test_rfc8620_5_6_a_search_is_brought_up_to_date(jmap: JmapClient) -> None:
    first = jmap.mail("Une lettre", message_id="lettre1@x.example")
    jmap.mail("Autre")
    wanted: dict[str, Any] = {"filter": {"text": "lettre"}, "collapseThreads": True}
    found = jmap.call("Email/query", **wanted)
    assert (found["ids"], found["canCalculateChanges"]) == ([first], True)
    second = jmap.mail("Re: Une lettre", fields="References: <lettre1@x.example>\r\n")
    jmap.mail("Encore autre")
    changed = jmap.call("Email/queryChanges", **wanted, sinceQueryState=found["queryState"], calculateTotal=True)
    assert (changed["removed"], changed["added"], changed["total"]) == ([first], [{"id": second, "index": 0}], 1)
    jmap.call("Email/set", destroy=[second])
    changed = jmap.call("Email/queryChanges", **wanted, sinceQueryState=changed["newQueryState"])
    assert set(changed["removed"]) >= {second}
    assert changed["added"] == [{"id": first, "index": 0}]
