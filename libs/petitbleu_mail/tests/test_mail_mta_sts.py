"""MTA-STS policies and records (RFC 8461): read as senders read them, written as they want them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.mta_sts import MAX_AGE, StsError, StsMode, StsPolicy, make_policy, parse_policy, policy_id

# RFC 8461 §3.2, the example
EXAMPLE = b"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n"
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
POLICIES = st.builds(
    make_policy,
    st.sampled_from(["testing", "enforce", "none"]),
    st.lists(HOSTS | HOSTS.map(lambda host: f"*.{host}"), min_size=1, max_size=5),
    st.integers(0, MAX_AGE),
)


def test_the_example_of_the_standard_is_read() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy == StsPolicy(StsMode.ENFORCE, ("mail.example.com", "*.example.net", "backupmx.example.com"), 604800)
    assert parse_policy(EXAMPLE.replace(b"\n", b"\r\n")) == policy


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        ("mail.example.com", True), ("MAIL.Example.com.", True), ("mx.example.net", True), ("a.mx.example.net", False),
        ("example.net", False), ("mail.example.org", False), ("", False),
    ],
)  # fmt: skip
def test_a_wildcard_stands_for_one_label(host: str, is_covered: bool) -> None:
    assert parse_policy(EXAMPLE).covers(host) is is_covered


@given(POLICIES)
def test_what_is_written_is_read_as_the_same(policy: StsPolicy) -> None:
    assert parse_policy(policy.text.encode()) == policy
    assert policy_id([policy.record_text.encode()]) == policy.id


@given(POLICIES, POLICIES)
def test_another_policy_has_another_id(one: StsPolicy, other: StsPolicy) -> None:
    assert (one.id == other.id) is (one == other)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"version: STSv1\n", EXAMPLE.replace(b"STSv1", b"STSv2"), EXAMPLE.replace(b"enforce", b"maybe"),
        EXAMPLE.replace(b"604800", b"soon"), EXAMPLE.replace(b"mail.example.com", b"mail example com"),
        b"version: STSv1\nmode: enforce\nmax_age: 1\n", EXAMPLE + b"<html>\n", b"\xff" + EXAMPLE, EXAMPLE + b"x: " + b"y" * 70000,
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(text: bytes) -> None:
    with pytest.raises(StsError):
        parse_policy(text)


def test_what_is_not_known_is_ignored_and_the_first_of_a_key_counts() -> None:
    policy = parse_policy(EXAMPLE + b"max_age: 5\nnew_key: whatever\n\nmode: none")
    assert (policy.mode, policy.max_age) == (StsMode.ENFORCE, 604800)
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 9999999999").max_age == MAX_AGE


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"), ([b"v=STSv1;id=1"], "1"), ([b"v=spf1 -all", b"v=STSv1; id=a; x=y"], "a"),
        ([b"v=STSv1; id=a", b"v=STSv1; id=b"], None), ([b"v=STSv1;"], None), ([b"v=STSv1; id=with-hyphen"], None),
        ([b"v=STSv12; id=a"], None), ([b"id=a; v=STSv1"], None), ([], None), ([b"v=STSv1; id=" + b"a" * 33], None),
    ],
)  # fmt: skip
def test_records(records: list[bytes], found: str | None) -> None:
    assert policy_id(records) == found


TEXT = st.sampled_from(
    [
        b"version",
        b"mode",
        b"mx",
        b"max_age",
        b":",
        b" ",
        b"\n",
        b"\r\n",
        b"STSv1",
        b"enforce",
        b"*.",
        b"a.b",
        b"1",
        b";",
        b"v=STSv1",
        b"id=",
    ]
)


@given(st.binary(max_size=400) | st.lists(TEXT, max_size=40).map(b"".join))
def test_any_octets_are_a_policy_or_an_error(octets: bytes) -> None:
    found = policy_id([octets])
    assert found is None or found.isalnum()
    try:
        policy = parse_policy(octets)
    except StsError:
        return
    assert parse_policy(policy.text.encode()) == policy
