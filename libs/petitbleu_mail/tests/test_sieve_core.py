"""Tests of the base commands and tests: RFC 5228 §2.7, §2.10, §4, §5; copy (3894), relational (5231), subaddress (5233), reject (5429)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.sieve_bench import MESSAGE, actions, faults, holds, run

from petitbleu_mail.sieve.actions import Discard, FileInto, Keep, Redirect, Reject
from petitbleu_mail.sieve.faults import Limits
from petitbleu_mail.sieve.globs import Glob
from petitbleu_mail.sieve.message import Envelope, ParsedView
from petitbleu_mail.sieve.script import compile_script, evaluate


def spend_nothing(_cost: int) -> None:
    pass


def test_rfc5228_2_7_1_is_contains_matches() -> None:
    assert holds('header :is "subject" "[news] Grüße from the *world*"')
    assert holds('header "x-number" "42"')
    assert not holds('header :is "subject" "[news]"')
    assert holds('header :contains "subject" ["nothing", "GRÜßE FROM"]') is False
    assert holds('header :contains "subject" ["nothing", "Grüße FROM"]')
    assert holds('header :contains "x-empty" ""')
    assert not holds('header :contains "x-missing" ""')
    assert holds(r'header :matches "subject" "[news]*\\*world\\*"')
    assert not holds(r'header :matches "subject" "[news]*\\*earth\\*"')
    assert holds('header :matches "x-number" "4?"')
    assert not holds('header :matches "x-number" "4??"')


def test_rfc5228_2_7_3_comparators() -> None:
    assert not holds('header :comparator "i;octet" "message-id" "<ONE@example.org>"')
    assert holds('header :comparator "i;ascii-casemap" "message-id" "<ONE@example.org>"')
    assert (
        holds('header :comparator "i;unicode-casemap" :contains "subject" "GRÜSSE"', "comparator-i;unicode-casemap")
        is False
    )
    assert holds('header :comparator "i;unicode-casemap" :contains "subject" "GRÜ"', "comparator-i;unicode-casemap")
    assert holds('header :comparator "i;ascii-numeric" "x-number" "0042"', "comparator-i;ascii-numeric")
    assert "needs require" in faults('if header :comparator "i;ascii-numeric" "a" "1" {}')[0]
    assert "no comparator" in faults('if header :comparator "i;nothing" "a" "1" {}')[0]
    assert (
        "whole values only"
        in faults('require "comparator-i;ascii-numeric"; if header :contains :comparator "i;ascii-numeric" "a" "1" {}')[
            0
        ]
    )


@pytest.mark.parametrize(
    ("left", "relation", "right", "true"),
    [("10", "gt", "9", True), ("10", "lt", "9", False), ("007", "eq", "7", True), ("x", "gt", "99999", True), ("", "eq", "y", True),
     ("12a", "eq", "12", True), ("0", "eq", "000", True), ("9" * 30, "gt", "9" * 29, True)],
)  # fmt: skip
def test_rfc4790_9_1_ascii_numeric(left: str, relation: str, right: str, true: bool) -> None:
    test = f'string :value "{relation}" :comparator "i;ascii-numeric" "{left}" "{right}"'
    assert holds(test, "variables relational comparator-i;ascii-numeric") is true


def test_rfc5228_2_7_4_parts_of_addresses() -> None:
    assert holds('address :all "from" "jurgen+work@example.org"')
    assert holds('address :localpart "from" "jurgen+work"')
    assert holds('address :domain "from" "example.org"')
    assert holds('address :domain "to" "example.net"')
    assert not holds('address :domain "to" "example.org"')


def test_rfc5228_5_1_address_of_fields_that_hold_addresses() -> None:
    assert holds('address ["cc", "to"] "dora@example.com"')
    assert not holds('address "from" "Jürgen"')
    assert faults('if address "subject" "x" {}') == [
        "line 1, column 12: 'subject' is no header field that holds addresses"
    ]


def test_rfc5228_5_2_allof_and_5_3_anyof_end_early() -> None:
    assert holds("allof (true, true)")
    assert not holds("allof (true, false, true)")
    assert holds("anyof (false, true)")
    assert not holds("anyof (false, false)")


def test_rfc5228_5_4_envelope() -> None:
    assert holds('envelope "from" "jurgen+work@example.org"', "envelope")
    assert holds('envelope :localpart "to" "ann"', "envelope")
    assert holds('envelope :all "from" ""', "envelope", envelope=Envelope("", "ann@example.com"))
    assert holds('envelope :domain "from" ""', "envelope", envelope=Envelope("", "ann@example.com"))
    assert holds(
        'envelope "to" "alias@example.com"',
        "envelope",
        envelope=Envelope("a@b.c", "ann@example.com", "alias@example.com"),
    )
    assert "no part of the envelope" in faults('require "envelope"; if envelope "auth" "x" {}')[0]


def test_rfc5228_5_5_exists() -> None:
    assert holds('exists ["from", "X-EMPTY"]')
    assert not holds('exists ["from", "x-missing"]')


def test_rfc5228_5_7_header_is_unfolded_decoded_and_trimmed() -> None:
    message = b"Subject:   =?utf-8?q?a?=\r\n =?utf-8?q?b?= c  \r\nX: 1\r\nX: 2\r\n\r\n"
    assert holds('header "subject" "ab c"', message=message)
    assert holds('header "x" "2"', message=message)
    assert "no name of a header field" in faults('if header "a:" "x" {}')[0]


def test_rfc5228_5_9_size_is_over_or_under() -> None:
    size = len(MESSAGE)
    assert holds(f"size :over {size - 1}")
    assert not holds(f"size :over {size}")
    assert not holds(f"size :under {size}")
    assert holds(f"size :under {size + 1}")
    assert "takes :over or :under" in faults("if size 1 {}")[0]


def test_rfc5228_4_1_fileinto_cancels_the_implicit_keep() -> None:
    assert actions('require "fileinto"; fileinto "Lists/News";') == [FileInto("Lists/News")]
    assert "no name of a mailbox" in faults('require "fileinto"; fileinto "a//b";')[0]
    outcome = run('require ["fileinto", "variables"]; fileinto "${nothing}";')
    assert outcome.actions == (Keep(),)
    assert outcome.fault is not None
    assert outcome.fault.place == (1, 36)


def test_rfc5228_4_2_redirect() -> None:
    assert actions('redirect "a@example.com";') == [Redirect("a@example.com")]
    assert actions('redirect "a@example.com"; keep;') == [Redirect("a@example.com"), Keep()]
    assert "no address" in faults('redirect "nobody";')[0]
    assert "no address" in faults('redirect "a@example.com\n";')[0]


def test_rfc5228_4_3_keep_and_2_10_2_implicit_keep() -> None:
    assert actions("") == [Keep()]
    assert actions("keep; keep;") == [Keep()]


def test_rfc5228_4_4_discard_cancels_only_the_implicit_keep() -> None:
    assert actions("discard;") == [Discard()]
    assert actions("discard; keep;") == [Keep()]
    assert actions("keep; discard;") == [Keep()]


def test_rfc5228_2_10_3_one_mailbox_gets_it_once() -> None:
    script = 'require "fileinto"; fileinto "a"; fileinto "a"; fileinto "inbox"; keep; redirect "x@example.com"; redirect "x@example.com";'
    assert actions(script) == [FileInto("a"), FileInto("inbox"), Redirect("x@example.com")]


def test_rfc5228_2_10_6_a_runtime_error_keeps_the_message() -> None:
    outcome = run(
        'redirect "0@example.com"; redirect "1@example.com"; redirect "2@example.com"; redirect "3@example.com";\nredirect "4@example.com";'
    )
    assert outcome.actions == (Keep(),)
    assert str(outcome.fault) == "line 2, column 1: a script may redirect a message 4 times"
    many = 'require "fileinto";' + "".join(f'fileinto "{n}";' for n in range(33))
    assert run(many).actions == (Keep(),)


def test_rfc3894_3_copy_leaves_the_implicit_keep() -> None:
    assert actions('require ["copy", "fileinto"]; fileinto :copy "a";') == [FileInto("a"), Keep()]
    assert actions('require "copy"; redirect :copy "a@example.com";') == [Redirect("a@example.com"), Keep()]
    assert ":copy needs require" in faults('redirect :copy "a@example.com";')[0]


def test_rfc5231_4_1_value_and_4_2_count() -> None:
    assert holds(
        'header :value "ge" :comparator "i;ascii-numeric" "x-number" "42"', "relational comparator-i;ascii-numeric"
    )
    assert not holds(
        'header :value "lt" :comparator "i;ascii-numeric" "x-number" "42"', "relational comparator-i;ascii-numeric"
    )
    assert holds('header :value "ne" "x-number" "41"', "relational")
    assert holds('address :count "eq" :comparator "i;ascii-numeric" "to" "2"', "relational comparator-i;ascii-numeric")
    assert holds('header :count "eq" "received" "2"', "relational")
    assert holds('header :count "eq" "x-missing" "0"', "relational")
    assert "is no relation" in faults('require "relational"; if header :value "more" "a" "b" {}')[0]


def test_rfc5233_4_user_and_detail() -> None:
    assert holds('address :user "from" "jurgen"', "subaddress")
    assert holds('address :detail "from" "work"', "subaddress")
    assert not holds('address :detail "to" ""', "subaddress")
    assert holds('envelope :detail "to" ""', "subaddress envelope", envelope=Envelope("", "ann+@example.com"))


def test_rfc5260_6_index() -> None:
    assert holds('header :index 1 :contains "received" "from a.example"', "index")
    assert holds('header :index 1 :last :contains "received" "from c.example"', "index")
    assert not holds('header :index 3 :contains "received" ""', "index")
    assert "needs an :index" in faults('require "index"; if header :last "a" "b" {}')[0]
    assert ":index counts from 1" in faults('require "index"; if header :index 0 "a" "b" {}')[0]


def test_rfc5429_2_reject_and_ereject() -> None:
    assert actions('require "reject"; reject "no";') == [Reject("no")]
    assert actions('require "ereject"; ereject "no";') == [Reject("no", is_ereject=True)]
    for script in (
        'require ["reject"]; keep; reject "no";',
        'require ["reject"]; reject "no"; redirect "a@example.com";',
        'require ["reject"]; reject "no"; reject "no";',
        'require ["reject", "vacation"]; vacation "away"; reject "no";',
        'require ["reject", "vacation"]; reject "no"; vacation "away";',
    ):
        outcome = run(script)
        assert outcome.actions == (Keep(),)
        assert outcome.fault is not None


def plain_match(pattern: str, value: str) -> bool:
    """Match as the words of RFC 5228 §2.7.1 say it, by trying everything."""
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(plain_match(pattern[1:], value[at:]) for at in range(len(value) + 1))
    if pattern[0] == "?":
        return bool(value) and plain_match(pattern[1:], value[1:])
    if pattern[0] == "\\" and len(pattern) > 1:
        pattern = pattern[1:]
    return value[:1] == pattern[0] and plain_match(pattern[1:], value[1:])


@given(st.text("ab*?\\", max_size=9), st.text("ab*\\", max_size=9))
def test_rfc5228_2_7_1_globs_match_as_the_simple_model_does(pattern: str, value: str) -> None:
    spans = Glob(pattern).match(value, spend_nothing)
    assert (spans is not None) is plain_match(pattern, value)
    if spans is not None:
        assert [end for _, end in spans] == sorted(end for _, end in spans)


def test_a_pattern_that_is_hard_to_match_is_bounded() -> None:
    spent: list[int] = []
    value = "a" * 3_000
    assert Glob("*" + "a?" * 100 + "b*").match(value, spent.append) is None
    assert Glob("*".join(["a?a"] * 1000) + "b").match(value, spent.append) is None
    assert sum(spent) < 3_000 * 110
    message = b"Subject: " + b"ab" * 30_000 + b"\r\n\r\n"
    pattern = "*" + "a?" * 400 + "c*"
    script = compile_script(
        "if anyof (" + ", ".join([f'header :matches "subject" "{pattern}"'] * 100) + ") { discard; }"
    )
    limits = Limits(cost=100_000)
    outcome = evaluate(script, ParsedView(message), Envelope("", ""), limits=limits)
    assert outcome.actions == (Keep(),)
    assert outcome.fault is not None
    assert "takes too long" in outcome.fault.reason
    assert outcome.cost < limits.cost + 10_000
