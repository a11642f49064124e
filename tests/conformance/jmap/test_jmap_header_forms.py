"""RFC 8621 §4.1.2 and §4.1.3: header fields in every form."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import JmapClient


def header(jmap: JmapClient, fields: bytes, *properties: str) -> Any:
    """Deliver a message with these fields and return the properties' values, one alone or as a list."""
    email = jmap.get(jmap.put(fields + b"\r\nbody\r\n"), *properties)
    values = [email[name] for name in properties]
    return values[0] if len(values) == 1 else values


def test_rfc8621_4_1_2_1_raw(jmap: JmapClient) -> None:
    assert header(jmap, b"X-A:  two  blanks \r\n", "header:X-A") == "  two  blanks "
    assert header(jmap, b"X-A: folded\r\n  line\r\n", "header:X-A:asRaw") == " folded\r\n  line"
    assert header(jmap, b"X-A: =?utf-8?q?=C3=A9?=\r\n", "header:X-A") == " =?utf-8?q?=C3=A9?="
    assert header(jmap, "X-A: é\r\n".encode(), "header:X-A") == " é"
    assert header(jmap, b"X-A: \xff\r\n", "header:X-A") == " \ufffd"


def test_rfc8621_4_1_2_2_text(jmap: JmapClient) -> None:
    assert (
        header(jmap, b"Subject:   =?utf-8?q?caf=C3=A9?=\r\n =?utf-8?q?_noir?=\r\n", "header:Subject:asText")
        == "café noir"
    )
    assert header(jmap, "Subject: e\u0301\r\n".encode(), "header:Subject:asText") == "é"  # NFC
    assert header(jmap, b"X-Own: =?utf-8?b?w6k=?=\r\n", "header:X-Own:asText") == "é"
    assert header(jmap, b"List-Id: A list <a.example>\r\n", "header:List-Id:asText") == "A list <a.example>"


def test_rfc8621_4_1_2_1_nul_is_dropped(jmap: JmapClient) -> None:
    found = header(jmap, b"X-A: a\x00b\r\nSubject: s\x00t\r\n", "header:X-A", "header:X-A:asText", "subject")
    assert found == [" ab", "ab", "st"]


def test_rfc8621_4_1_2_2_encoded_controls_are_dropped(jmap: JmapClient) -> None:
    assert header(jmap, b"Subject: =?utf-8?q?a=00b=0D=0Ac=07=C2=85d?=\r\n", "header:Subject:asText") == "abcd"


@pytest.mark.parametrize(
    "text", ["re=?utf-8?q?x?=", "=?utf-8?q?x?=y", '"=?utf-8?q?x?="', "=?utf-8?q?a b?=", "(=?utf-8?q?x?=)"]
)
def test_rfc8621_4_1_2_2_what_only_looks_like_an_encoded_word(jmap: JmapClient, text: str) -> None:
    assert header(jmap, f"X-A: {text}\r\n".encode(), "header:X-A:asText") == text


def test_rfc8621_4_1_2_3_addresses(jmap: JmapClient) -> None:
    fields = b'From: "James Smythe" <james@example.com>, Friends:\r\n jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n <john@example.com>;\r\n'
    assert header(jmap, fields, "header:From:asAddresses") == [
        {"name": "James Smythe", "email": "james@example.com"},
        {"name": None, "email": "jane@example.com"},
        {"name": "John Smîth", "email": "john@example.com"},
    ]


def test_rfc8621_4_1_2_3_examples_of_rfc_5322(jmap: JmapClient) -> None:
    fields = (
        b"From: Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\r\n"
        b"To:A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n         joe@example.org,\r\n"
        b"  John <jdoe@one.test> (my dear friend); (the end of the group)\r\n"
        b"Cc:(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;\r\n"
        b"Date: Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)\r\n"
    )
    sender, to, copies, sent = header(jmap, fields, "from", "header:To:asGroupedAddresses", "cc", "sentAt")
    assert sender == [{"name": "Pete", "email": "pete@silly.test"}]
    people = [("Chris Jones", "c@public.example"), (None, "joe@example.org"), ("John", "jdoe@one.test")]
    assert to == [{"name": "A Group", "addresses": [{"name": name, "email": email} for name, email in people]}]
    assert copies == []
    assert sent == "1969-02-13T23:32:00-03:30"


def test_rfc8621_4_1_2_3_blanks_within_quotes_are_the_senders(jmap: JmapClient) -> None:
    flat, grouped = header(jmap, b'To: " two  blanks " <a@x.example>\r\n', "to", "header:To:asGroupedAddresses")
    assert flat == grouped[0]["addresses"] == [{"name": "two  blanks", "email": "a@x.example"}]


def test_rfc8621_4_1_2_4_grouped_addresses(jmap: JmapClient) -> None:
    fields = b'To: "James Smythe" <james@example.com>, Friends:\r\n jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n <john@example.com>;\r\n'
    assert header(jmap, fields, "header:To:asGroupedAddresses") == [
        {"name": None, "addresses": [{"name": "James Smythe", "email": "james@example.com"}]},
        {
            "name": "Friends",
            "addresses": [
                {"name": None, "email": "jane@example.com"},
                {"name": "John Smîth", "email": "john@example.com"},
            ],
        },
    ]


def test_rfc8621_4_1_2_5_message_ids(jmap: JmapClient) -> None:
    assert header(jmap, b"References: <a@x>\r\n <b@x>\r\n", "header:References:asMessageIds") == ["a@x", "b@x"]
    assert header(jmap, b"X-Ids: <a@x>\r\n", "header:X-Ids:asMessageIds") == ["a@x"]
    assert header(jmap, b"References: nothing\r\n", "header:References:asMessageIds") is None
    # comments are none, whatever they hold, and a folded one counts as much as others
    fields = b"References: (about (not <c@x>) <d@x>) <a@x> <b\r\n @x> (e@x)\r\n"
    assert header(jmap, fields, "header:References:asMessageIds", "references") == [["a@x", "b@x"]] * 2


def test_rfc8621_4_1_2_6_date(jmap: JmapClient) -> None:
    assert (
        header(jmap, b"Date: Thu, 1 Jan 1970 01:00:00 +0100\r\n", "header:Date:asDate") == "1970-01-01T01:00:00+01:00"
    )
    assert (
        header(jmap, b"Resent-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n", "header:Resent-Date:asDate")
        == "1970-01-01T00:00:00Z"
    )
    assert header(jmap, b"Date: some day\r\n", "header:Date:asDate") is None


def test_rfc8621_4_1_2_6_obsolete_dates(jmap: JmapClient) -> None:
    # RFC 5322, appendix A.6.3
    fields = b"Date  : Fri, 21 Nov 1997 09(comment):   55  :  06 -0600\r\n"
    assert header(jmap, fields, "header:Date:asDate", "sentAt") == ["1997-11-21T09:55:06-06:00"] * 2


def test_rfc8621_4_1_2_7_urls(jmap: JmapClient) -> None:
    fields = b"List-Post: <mailto:a@x.example>, (or) <http://x.example/>\r\n"
    assert header(jmap, fields, "header:List-Post:asURLs") == ["mailto:a@x.example", "http://x.example/"]
    assert header(jmap, b"List-Post: NO\r\n", "header:List-Post:asURLs") is None
    # RFC 2369 §2: comments are none, and blanks within the brackets are to be ignored
    fields = b"List-Help: (see <it>) <http://x.example/\r\n a> (c)\r\n"
    assert header(jmap, fields, "header:List-Help:asURLs") == ["http://x.example/a"]


def test_rfc8621_4_1_3_last_instance_or_all(jmap: JmapClient) -> None:
    fields = b"X-N: one\r\nX-n: two\r\nX-N: three\r\n"
    last, every = header(jmap, fields, "header:x-n", "header:X-N:all")
    assert (last, every) == (" three", [" one", " two", " three"])
    assert header(jmap, fields, "header:X-N:asText:all") == ["one", "two", "three"]


def test_rfc8621_4_1_3_a_name_may_be_written_in_several_ways(jmap: JmapClient) -> None:
    fields = b"X-N: one\r\n"
    assert header(jmap, fields, "header:X-N", "header:x-n", "header:x-N:asText") == [" one", " one", "one"]
    many = [f"header:{first}{second}{third}" for first in "xX" for second in "yY" for third in "zZ"]
    assert (
        jmap.fails("Email/get", ids=[], properties=many)["type"] == "invalidArguments"
    )  # though not in any number of ways


def test_rfc8621_4_1_3_absent_fields(jmap: JmapClient) -> None:
    assert header(jmap, b"Subject: x\r\n", "header:X-None", "header:X-None:all", "header:Cc:asAddresses") == [
        None,
        [],
        None,
    ]


def test_rfc8621_4_1_3_headers_lists_all_in_order(jmap: JmapClient) -> None:
    found = header(jmap, b"X-B: 1\r\nX-A: 2\r\nX-B: 3\r\n", "headers")
    own = [(field["name"], field["value"]) for field in found if field["name"].startswith("X-")]
    assert own == [("X-B", " 1"), ("X-A", " 2"), ("X-B", " 3")]


def test_rfc8621_4_1_delivery_added_fields_belong_to_the_message(jmap: JmapClient) -> None:
    assert header(jmap, b"Subject: x\r\n", "header:Return-Path") == " <anna@x.example>"


@pytest.mark.parametrize(
    "name",
    ["header:From:asDate", "header:Subject:asAddresses", "header:Date:asText", "header:To:asURLs", "header:References:asText",
     "header:List-Post:asText", "header:Received:asText", "header:Return-Path:asAddresses", "header:", "header::asText", "header:X:asNothing",
     "header:X:all:asText", "header:X Y", "header:É", "Header:X", "header:X:asRaw:all:all", "header:X:astext"],
)  # fmt: skip
def test_rfc8621_4_1_2_forms_that_a_field_may_not_have(jmap: JmapClient, name: str) -> None:
    assert jmap.fails("Email/get", ids=[], properties=[name])["type"] == "invalidArguments"
    assert jmap.fails("Email/get", ids=[], bodyProperties=[name])["type"] == "invalidArguments"
