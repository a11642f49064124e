"""Tests of what extensions add: variables (RFC 5229), flags (5232), vacation (5230, 6131), body (5173), dates (5260)."""

from __future__ import annotations

import pytest
from libs.petitbleu_mail.tests.sieve_bench import MESSAGE, actions, faults, holds, run

from petitbleu_mail.sieve.actions import Discard, FileInto, Keep, Vacation
from petitbleu_mail.sieve.faults import Limits

VARIABLES = 'require ["variables", "fileinto"]; '


def test_rfc5229_3_references_are_expanded_once() -> None:
    assert actions(VARIABLES + 'set "a" "x"; set "b" "${a}y$"; fileinto "${B}${missing}-${a b}-${";') == [
        FileInto("xy$-${a b}-${")
    ]
    assert actions(VARIABLES + 'set "a" "$"; set "b" "{c}"; fileinto "${a}${b}";') == [FileInto("${c}")]
    assert actions('require "fileinto"; fileinto "${a}";') == [FileInto("${a}")]
    assert "variables named company." in faults(VARIABLES + 'fileinto "${company.doc}";')[0]


def test_rfc5229_3_2_match_variables() -> None:
    script = VARIABLES + 'if header :matches "subject" "[*] * from*" { fileinto "${1}|${2}|${0}|${4}"; }'
    assert actions(script) == [FileInto("news|Grüße|[news] Grüße from the *world*|")]
    # a match that fails changes nothing, and other match types do not either
    kept = (
        VARIABLES
        + 'if header :matches "x-number" "?*" {} if header :matches "x-number" "x*" {} if true { fileinto "${1}-${2}"; }'
    )
    assert actions(kept) == [FileInto("4-2")]
    assert actions(VARIABLES + 'if string :matches "aXbXc" "*x*" { fileinto "${1}-${2}"; }') == [FileInto("a-bXc")]
    assert faults(VARIABLES + 'set "a" "${33}";')[0].endswith("match variables go up to ${32}")


def test_rfc5229_3_2_captures_are_of_the_value_itself() -> None:
    script = VARIABLES.replace('"fileinto"', '"fileinto", "comparator-i;unicode-casemap"')
    assert actions(
        script + 'if string :comparator "i;unicode-casemap" :matches "Éa Öx ﬁn" "* * *" { fileinto "${1}|${2}|${3}"; }'
    ) == [FileInto("Éa|Öx|ﬁn")]


@pytest.mark.parametrize(
    ("modifiers", "value", "result"),
    [
        (":length", "Grüße", "5"), (":lower", "AbC", "abc"), (":upper", "abC", "ABC"), (":upperfirst :lower", "jULIA", "Julia"),
        (":lowerfirst", "ABC", "aBC"), (":quotewildcard", r"Rock*", r"Rock\\*"), (":length :quotewildcard", "a*?", "5"),
    ],
)  # fmt: skip
def test_rfc5229_4_1_modifiers_in_their_order(modifiers: str, value: str, result: str) -> None:
    assert holds(f'string "${{a}}" "{result}"', "variables") is False
    script = f'set {modifiers} "a" "{value}"; if string :comparator "i;octet" "${{a}}" "{result}" {{ discard; }}'
    assert actions(f'require "variables"; {script}') == [Discard()]


def test_rfc5229_4_modifiers_of_one_precedence_exclude_each_other() -> None:
    assert "cannot stand together" in faults(VARIABLES + 'set :lower :upper "a" "b";')[0]
    assert "no name of a variable" in faults(VARIABLES + 'set "1a" "b";')[0]
    assert "without variables" in faults(VARIABLES + 'set "${a}" "b";')[0]


def test_rfc5229_5_string() -> None:
    assert holds('string :matches "abc" "a*"', "variables")
    assert holds('string :count "eq" ["a", "", "b"] "2"', "variables relational")


def test_rfc5229_6_variables_are_bounded() -> None:
    doubled = (
        VARIABLES + 'set "a" "0123456789";' + 'set "a" "${a}${a}";' * 30 + 'set :length "n" "${a}"; fileinto "${n}";'
    )
    assert actions(doubled) == [FileInto(str(Limits().variable_chars))]
    outcome = run(VARIABLES + "".join(f'set "v{n}" "";' for n in range(300)))
    assert outcome.fault is not None
    assert outcome.fault.reason == "the script has more than 256 variables"


FLAGS = 'require ["imap4flags", "fileinto", "variables"]; '


def test_rfc5232_3_set_add_and_remove() -> None:
    assert actions(FLAGS + r'setflag "\\seen $one"; addflag ["$two", "\\SEEN \\flagged"]; removeflag "$ONE";') == [
        Keep((r"\Seen", "$two", r"\Flagged"))
    ]
    assert actions(FLAGS + 'setflag "v" "a b"; addflag "v" "c"; removeflag "v" "a"; keep :flags "${v}";') == [
        Keep(("b", "c"))
    ]
    assert actions(FLAGS + r'addflag ["\\Recent", "\\nonsense", "a(b", "ok"];') == [Keep(("ok",))]
    assert "needs require" in faults('require "imap4flags"; setflag "v" "a";')[0]


def test_rfc5232_4_hasflag() -> None:
    assert actions(FLAGS + 'setflag "a b"; if hasflag "B" { discard; }') == [Discard()]
    assert actions(FLAGS + 'setflag "a b"; if hasflag :contains "c" { discard; }') == [Keep(("a", "b"))]
    assert actions(FLAGS + 'setflag "v" "x"; if hasflag ["v", "w"] ["y x"] { discard; }') == [Discard()]
    assert holds('hasflag :count "eq" "0"', "imap4flags relational")


def test_rfc5232_5_flags_tag_and_internal_variable() -> None:
    assert actions(FLAGS + 'setflag "a"; fileinto "x"; fileinto :flags "b" "y"; addflag "c"; keep;') == [
        FileInto("x", ("a",)),
        FileInto("y", ("b",)),
        Keep(("a", "c")),
    ]


def test_rfc5230_4_vacation() -> None:
    assert actions('require "vacation"; vacation "away";') == [Vacation("away"), Keep()]
    script = (
        'require "vacation"; vacation :days 3 :subject "I am\n away" :from "Ann <ann@example.com>" '
        ':addresses ["a@example.com", "b@example.com"] :handle "h" :mime text:\nContent-Type: text/plain\n\naway\n.\n;'
    )
    assert actions(script)[0] == Vacation(
        "Content-Type: text/plain\r\n\r\naway\r\n",
        "I am away",
        "Ann <ann@example.com>",
        ("a@example.com", "b@example.com"),
        is_mime=True,
        handle="h",
        seconds=3 * 86_400,
    )
    assert actions('require "vacation"; vacation :days 0 "away";')[0] == Vacation("away", seconds=86_400)
    assert "no address" in faults('require "vacation"; vacation :from "nobody" "away";')[0]


def test_rfc5230_4_7_one_answer_only() -> None:
    outcome = run('require "vacation"; vacation "away"; vacation "away";')
    assert outcome.actions == (Keep(),)
    assert outcome.fault is not None


def test_rfc6131_2_seconds() -> None:
    assert actions('require "vacation-seconds"; vacation :seconds 0 "away";')[0] == Vacation("away", seconds=0)
    assert ":seconds needs require" in faults('require "vacation"; vacation :seconds 1 "away";')[0]
    assert "cannot stand together" in faults('require "vacation-seconds"; vacation :days 1 :seconds 1 "away";')[0]


MULTIPART = (
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\nbefore\r\n--x\r\nContent-Type: text/plain\r\n\r\nplain words\r\n'
    b"--x\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+c29tZSA8Yj5o\r\nVE1MPC9iPjwvcD4=\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n--x--\r\nbehind\r\n"
)


def test_rfc5173_5_1_raw() -> None:
    assert holds('body :raw :contains "PHA+"', "body", MULTIPART)
    assert holds('body :raw :contains "--x--"', "body", MULTIPART)
    assert not holds('body :raw :contains "multipart"', "body", MULTIPART)


def test_rfc5173_5_2_content() -> None:
    assert holds('body :content "text/html" :contains "<b>hTML</b>"', "body", MULTIPART)
    assert holds('body :content "text" :contains "plain words"', "body", MULTIPART)
    assert holds('body :content "" :contains "inner body"', "body", MULTIPART)
    assert not holds('body :content "text/plain" :contains "hTML"', "body", MULTIPART)
    assert holds('body :content "multipart" :contains "before"', "body", MULTIPART)
    assert holds('body :content "multipart/mixed" :contains "behind"', "body", MULTIPART)
    assert not holds('body :content "multipart" :contains "plain"', "body", MULTIPART)
    assert holds('body :content "message/rfc822" :contains "Subject: inner"', "body", MULTIPART)
    assert not holds('body :content "message/rfc822" :contains "inner body"', "body", MULTIPART)
    assert not holds('body :content "application" :contains ""', "body", MULTIPART)


def test_rfc5173_5_3_text() -> None:
    assert holds('body :text :contains "some html"', "body", MULTIPART)
    assert not holds('body :contains "<b>"', "body", MULTIPART)
    assert holds('body :contains "this is the text."', "body")


def test_rfc5173_6_no_match_variables() -> None:
    assert actions('require ["body", "variables", "fileinto"]; if body :matches "*Ann*" { fileinto "x${1}"; }') == [
        FileInto("x")
    ]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("year", "2026"), ("month", "11"), ("day", "22"), ("date", "2026-11-22"), ("julian", "61366"), ("hour", "09"),
        ("minute", "00"), ("second", "00"), ("time", "09:00:00"), ("iso8601", "2026-11-22T09:00:00Z"),
        ("std11", "Sun, 22 Nov 2026 09:00:00 +0000"), ("zone", "+0000"), ("weekday", "0"),
    ],
)  # fmt: skip
def test_rfc5260_4_2_parts_of_dates(part: str, value: str) -> None:
    assert holds(f'date "date" "{part}" "{value}"', "date")


def test_rfc5260_4_1_zones() -> None:
    assert holds('date :originalzone "date" "iso8601" "2026-11-22T10:00:00+01:00"', "date")
    assert holds('date :zone "-0530" "date" "time" "03:30:00"', "date")
    assert holds('date "received" "time" "10:00:00"', "date")
    assert holds('date :index 2 "received" "minute" "59"', "date index")
    assert not holds('date :matches "subject" "year" "*"', "date")
    assert "no time zone" in faults('require "date"; if date :zone "CET" "date" "year" "1" {}')[0]
    assert "no part of a date" in faults('require "date"; if date "date" "century" "1" {}')[0]


def test_rfc5260_5_currentdate() -> None:
    assert holds('currentdate "iso8601" "2026-11-22T18:30:05Z"', "date")
    assert holds('currentdate :zone "+0100" "hour" "19"', "date")
    assert holds('currentdate :value "ge" "date" "2026-11-01"', "date relational")


def test_rfc5228_2_10_5_the_known_extensions_are_told() -> None:
    from petitbleu_mail.sieve.catalog import EXTENSIONS

    for name in EXTENSIONS:
        assert actions(f'require "{name}"; discard;', MESSAGE) == [Discard()]
