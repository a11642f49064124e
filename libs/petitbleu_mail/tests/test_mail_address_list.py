"""Tests of address lists (RFC 5322 §3.4, §4.4), with the examples of RFC 5322 appendix A and RFC 8621 §4.1.2."""

from __future__ import annotations

from email.headerregistry import Address
from email.utils import formataddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.address_list import MAX_ADDRESSES, AddressGroup, EmailAddress, as_addresses, as_grouped_addresses


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b" John Doe <jdoe@machine.example>\r\n", [("John Doe", "jdoe@machine.example")]),
        (b" jdoe@machine.example\r\n", [(None, "jdoe@machine.example")]),
        (b' "Joe Q. Public" <john.q.public@example.com>', [("Joe Q. Public", "john.q.public@example.com")]),
        (
            b" Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            [("Mary Smith", "mary@x.test"), (None, "jdoe@example.org"), ("Who?", "one@y.test")],
        ),
        (
            b' <boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
            [(None, "boss@nil.test"), ('Giant; "Big" Box', "sysservices@example.net")],
        ),
        (
            b" A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
            [("Ed Jones", "joe@where.test"), (None, "joe@where.test"), ("John", "jdoe@one.test")],
        ),
        (b" Undisclosed recipients:;", []),
        (
            b" Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            [("Pete", "pete@silly.test")],
        ),
        (b" Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example", [("Mary Smith", "mary@example.net"), (None, "jdoe@test.example")]),
        (b" john@example.org (John Doe)", [("John Doe", "john@example.org")]),
        (b" John (Jo) <john@example.org>", [("John", "john@example.org")]),
        (b' "James Smythe" <james@example.com>, Friends:\r\n jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n <john@example.com>;',
         [("James Smythe", "james@example.com"), (None, "jane@example.com"), ("John Sm\u00eeth", "john@example.com")]),
        (b' "=?utf-8?q?caf=C3=A9?=" <a@b>', [("caf\u00e9", "a@b")]),
        (b" =?utf-8?q?Doe,_J?= <a@b>, c@d", [("Doe, J", "a@b"), (None, "c@d")]),
        (b' "john doe"@example.org', [(None, '"john doe"@example.org')]),
        (b' <"a>b"@example.org>', [(None, '"a>b"@example.org')]),
        (b" a@b; c@d", [(None, "a@b"), (None, "c@d")]),
        (b" One <a@b> Two <c@d>", [("One", "a@b"), ("Two", "c@d")]),
        (b" John Doe john@example.org", [("John Doe", "john@example.org")]),
        (b" John <john@example.org", [("John", "john@example.org")]),
        (b' "John <john@example.org>', [(None, '"John <john@example.org>')]),
        (b" John (unfinished <john@example.org>", [("John (unfinished", "john@example.org")]),
        (b" Whomever", [(None, "Whomever")]),
        (b" user@[192.0.2.1]", [(None, "user@[192.0.2.1]")]),
        ("\u00c9lo\u00efse <\u00e9lo\u00efse@exemple.fr>".encode(), [("\u00c9lo\u00efse", "\u00e9lo\u00efse@exemple.fr")]),
        (b" Jos\xe9 <a@b>", [("Jos\ufffd", "a@b")]),
        (b" Nobody <>", [("Nobody", "")]),
        (b' " two  blanks " <a@b>, "x"  (c)  "y  z" <c@d>', [("two  blanks", "a@b"), ("x y  z", "c@d")]),
        (b" <>", []),
        (b"", []),
        (b" ,;:(<>@\r\n", [("(", ""), (None, "@")]),
    ],
)  # fmt: skip
def test_addresses(raw: bytes, expected: list[tuple[str | None, str]]) -> None:
    found = [(a.name, a.email) for a in as_addresses(raw)]
    assert found == expected


def test_groups() -> None:
    # RFC 8621 §4.1.2.4
    raw = b' "James Smythe" <james@example.com>, Friends:\r\n jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n <john@example.com>;\r\n'
    assert as_grouped_addresses(raw) == [
        AddressGroup(None, [EmailAddress("James Smythe", "james@example.com")]),
        AddressGroup(
            "Friends", [EmailAddress(None, "jane@example.com"), EmailAddress("John Sm\u00eeth", "john@example.com")]
        ),
    ]
    assert as_grouped_addresses(b"A:;, b@c, D: e@f") == [
        AddressGroup("A", []),
        AddressGroup(None, [EmailAddress(None, "b@c")]),
        AddressGroup("D", [EmailAddress(None, "e@f")]),
    ]


ADDRESSISH = st.lists(
    st.sampled_from(
        [
            '"',
            "\\",
            "<",
            ">",
            "(",
            ")",
            ",",
            ";",
            ":",
            "@",
            "a",
            "b.c",
            " ",
            "\t",
            "[",
            "]",
            "=?utf-8?q?=C3=A9?=",
            "\u00e9",
            "a@b",
        ]
    ),
    max_size=30,
).map("".join)


@given(ADDRESSISH | st.text(max_size=60))
def test_any_text_is_a_list(text: str) -> None:
    raw = text.encode("utf-8", "replace")
    flat = as_addresses(raw)
    grouped = as_grouped_addresses(raw)
    assert [a for g in grouped for a in g.addresses] == flat


@given(st.binary(max_size=80))
def test_any_octets_are_a_list(raw: bytes) -> None:
    assert isinstance(as_addresses(raw), list)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=20
)
ATOMS = st.text("abcdefghijklmnop0123456789!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=12)


@given(st.lists(st.tuples(NAMES, ATOMS, ATOMS), min_size=1, max_size=5))
def test_what_the_standard_library_writes_comes_back(people: list[tuple[str, str, str]]) -> None:
    people = [(name, local, domain) for name, local, domain in people if "=?" not in name + local + domain]
    raw = ", ".join(
        [formataddr((name, str(Address(username=local, domain="x" + domain)))) for name, local, domain in people]
    )
    assert [(a.name, a.email) for a in as_addresses(raw.encode())] == [
        (name, f"{local}@x{domain}") for name, local, domain in people
    ]


def test_long_rubbish_is_bounded() -> None:
    for unit in (b"(", b"()", b"<", b'"', b"a@b,", b"a:", b"\\", b"[", b"=?utf-8?q?", b" ", b"a ", b"((a)", b"<a"):
        raw = unit * (65536 // len(unit))
        assert len(as_addresses(raw)) <= MAX_ADDRESSES
