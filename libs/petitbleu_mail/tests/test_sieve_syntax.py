"""Tests of the language itself: tokens, grammar, faults with their places (RFC 5228 §2, §3, §8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.sieve_bench import actions, faults, holds, run

from petitbleu_mail.sieve.actions import Discard, FileInto, Keep
from petitbleu_mail.sieve.faults import Limits, SieveError
from petitbleu_mail.sieve.lexer import Kind, Source, tokens
from petitbleu_mail.sieve.script import compile_script


def values(script: str) -> list[str]:
    return [token.text for token in tokens(Source(script)) if token.kind is Kind.STRING]


def test_rfc5228_2_2_white_space_is_free() -> None:
    assert actions("if\ttrue\r\n{discard\n;}") == [Discard()]


def test_rfc5228_2_3_comments_of_both_kinds() -> None:
    assert actions("# one\r\nif /* two { */ true { # three }\r\n discard; /* * ** / */ }\r\n# end") == [Discard()]
    assert faults("keep; /* open *") == ["line 1, column 7: the comment that begins here has no */"]


def test_rfc5228_2_4_1_numbers_and_quantifiers() -> None:
    assert [int(t.text) for t in tokens(Source("1 2K 3m 4G 007")) if t.kind is Kind.NUMBER] == [
        1,
        2048,
        3 * 2**20,
        4 * 2**30,
        7,
    ]
    assert faults("if size :over 1X {}") == ["line 1, column 15: this is no number: digits, then K, M, G or nothing"]
    assert "larger than" in faults(f"if size :over {10**30} {{}}")[0]
    assert "larger than" in faults(f"if size :over {2**63 - 1}K {{}}")[0]


def test_rfc5228_2_4_2_quoted_strings_and_their_escapes() -> None:
    assert values(r'"a\"b" "a\\b" "a\bc" "" "Grüße"') == ['a"b', "a\\b", "abc", "", "Grüße"]
    assert values('"two\nlines" "two\r\nlines"') == ["two\r\nlines", "two\r\nlines"]
    assert faults('fileinto "x') == ["line 1, column 10: the string that begins here has no closing quote"]


def test_rfc5228_2_4_2_multi_line_strings_and_dot_stuffing() -> None:
    assert values("text:\r\n..dot\r\n.x\r\nlast\r\n.\r\n") == [".dot\r\n.x\r\nlast\r\n"]
    assert values("TEXT: # why\n.\n") == [""]
    assert values('text:\none\n.\n"next"') == ["one\r\n", "next"]
    assert faults("set text:\nopen\n..\n")[0].endswith("has no line with a single dot behind it")
    assert faults("set text: x\n.\n")[0].endswith("the line must end behind text:")


def test_rfc5228_2_4_2_1_a_list_of_one_is_a_list() -> None:
    assert holds('header ["subject"] ["nothing", "*"]') is False
    assert "takes one string here, no list" in faults('require ["fileinto"]; fileinto ["a"];')[0]


def test_rfc5228_2_4_2_4_encoded_characters() -> None:
    script = 'require ["fileinto", "encoded-character"]; fileinto "{}";'.replace("{}", "%s")
    for written, meant in [
        ("$${hex:40}", "$@"),
        ("${hex: 40 41}${hex:42 }", "@AB"),
        ("${HEX:c3 bc}", "ü"),
        ("${hex:40", "${hex:40"),
        ("${hex:400}", "${hex:400}"),
        ("${hex:}", "${hex:}"),
        ("${hex:4${hex:30}}", "${hex:40}"),
        ("${unicode:40 1F600}", "@😀"),
        ("${Unicode:000000fc}", "ü"),
    ]:
        assert actions(script % written) == [FileInto(meant)]
    assert "no Unicode character D800" in faults(script % "${unicode:D800}")[0]
    assert "no Unicode character 110000" in faults(script % "${unicode:110000}")[0]
    assert "not UTF-8" in faults(script % "${hex:ff}")[0]
    assert actions('require "fileinto"; fileinto "${hex:40}";') == [FileInto("${hex:40}")]


def test_rfc5228_2_1_the_script_is_utf8_without_nul() -> None:
    assert faults(b"keep;\r\n# \xc3\xbc\xff") == ["line 2, column 4: the script is not UTF-8 here"]
    assert faults("keep;\n \0") == ["line 2, column 2: a NUL stands here, which no script may have"]
    assert actions("\ufeffkeep;") == [Keep()]


def test_rfc5228_2_6_2_tags_come_first_in_any_order() -> None:
    assert holds('header :comparator "i;octet" :contains "subject" "news"')
    assert holds('header :contains :comparator "i;octet" "subject" "news"')
    assert faults('if header "subject" :contains "x" {}') == [
        "line 1, column 21: :contains must stand before the arguments without a colon"
    ]
    assert faults('if header :is :is "a" "b" {}') == ["line 1, column 15: :is stands here twice"]
    assert faults('if header :over "a" "b" {}') == ["line 1, column 11: header takes no :over"]
    assert faults('if header :comparator 3 "a" "b" {}') == ["line 1, column 23: :comparator takes a string here"]


def test_rfc5228_2_7_of_one_group_one_tag() -> None:
    assert faults('if header :is :contains "a" "b" {}') == [
        "line 1, column 15: :contains and :is cannot stand together: both are the match type"
    ]


def test_rfc5228_3_1_if_elsif_else() -> None:
    chain = 'require "fileinto"; if %s { fileinto "1"; } elsif %s { fileinto "2"; } else { fileinto "3"; }'
    assert actions(chain % ("true", "true")) == [FileInto("1")]
    assert actions(chain % ("false", "true")) == [FileInto("2")]
    assert actions(chain % ("false", "false")) == [FileInto("3")]
    assert faults("else { keep; }") == ["line 1, column 1: there is no if before this else"]
    assert faults("if true {} keep; elsif true {}") == ["line 1, column 18: there is no if before this elsif"]
    assert faults("if true {} else {} else {}") == ["line 1, column 20: there is no if before this else"]
    assert faults("if (true, false) {}") == ["line 1, column 1: if takes one test and a block, and nothing else"]
    assert faults("if true; ") == ["line 1, column 1: if takes one test and a block, and nothing else"]


def test_rfc5228_3_2_require_stands_first_and_names_what_is_known() -> None:
    assert faults('keep; require "fileinto";') == ["line 1, column 7: require must stand before all other commands"]
    assert faults('require ["fileinto",\n "nonsense"];') == [
        "line 2, column 2: the extension 'nonsense' is not known here"
    ]
    assert faults('fileinto "x";') == [
        'line 1, column 1: fileinto needs require "fileinto" at the beginning of the script'
    ]
    assert faults('keep :flags "x";') == [
        'line 1, column 6: :flags needs require "imap4flags" at the beginning of the script'
    ]
    assert faults("require 3;") == ["line 1, column 1: require takes a string or a list of strings, and a semicolon"]
    assert actions('require "comparator-i;octet"; require "fileinto"; fileinto "a";') == [FileInto("a")]


def test_rfc5228_3_3_stop_ends_all_blocks() -> None:
    assert actions('if true { discard; if true { stop; } } redirect "a@example.com";') == [Discard()]


def test_rfc5228_8_2_each_fault_has_its_place() -> None:
    assert faults("keep") == [
        "line 1, column 5: a semicolon or a block behind keep was expected, but here is the end of the script"
    ]
    assert faults("keep;\n}") == ["line 2, column 1: there is no block that this } could close"]
    assert faults("if true {\n keep;\n") == ["line 1, column 9: the block that begins here has no }"]
    assert faults("keep {}") == ["line 1, column 1: keep takes no block, but a semicolon"]
    assert faults("keep true;") == ["line 1, column 6: keep takes no test"]
    assert faults("if allof {}") == ["line 1, column 4: allof takes a list of tests in parentheses"]
    assert faults("if not (true) {}") == ["line 1, column 4: not takes one test"]
    assert faults("if allof (true,) {}") == ["line 1, column 16: a test was expected, but here is )"]
    assert faults('if allof (exists "a"; true) {}') == ["line 1, column 21: a comma or a ) was expected, but here is ;"]
    assert faults('if header ["a" "b"] "c" {}') == [
        "line 1, column 16: a comma or a ] was expected, but here is a string"
    ]
    assert faults('if header [] "c" {}') == ["line 1, column 12: a string was expected, but here is ]"]
    assert faults("if header {}") == [
        "line 1, column 4: header takes a string or a list of strings, a string or a list of strings here; the number of arguments does not fit"
    ]
    assert faults("true;") == ["line 1, column 1: true is a test, no command"]
    assert faults("if keep {}") == ["line 1, column 4: keep is a command, no test"]
    assert faults("@") == ["line 1, column 1: '@' cannot stand here"]
    assert faults("if header : is") == ["line 1, column 11: a name must follow the colon at once"]


def test_rfc5228_8_2_faults_of_several_commands_are_told_at_once() -> None:
    found = faults('fileinto "x";\nredirect "nobody";\nif header "a b" "c" { keep :x; }\n')
    assert [fault.split(":")[0] for fault in found] == ["line 1, column 1", "line 2, column 10", "line 3, column 11"]
    assert len(faults("nonsense;\n" * 100)) == Limits().faults


@pytest.mark.parametrize("script", ["if not " * 40 + "true {}", "if true {" * 40 + "}" * 40])
def test_rfc5228_2_10_5_nesting_is_bounded(script: str) -> None:
    assert "stand within each other" in faults(script)[0]


def test_rfc5228_2_10_5_fifteen_levels_are_allowed() -> None:
    assert actions("if true {" * 15 + "discard;" + "}" * 15) == [Discard()]
    assert holds("not " * 15 + "false")


def test_size_and_number_of_commands_are_bounded() -> None:
    assert "larger than 100 octets" in faults("#" * 101, Limits(script_octets=100))[0]
    assert "more than 10 commands" in faults("keep;" * 11, Limits(nodes=10))[0]


WORDS = st.sampled_from(
    ["if", "elsif", "else", "require", "keep", "fileinto", "redirect", "stop", "set", "header", "address", "allof", "anyof", "not",
     "true", "size", "exists", "hasflag", "addflag", '"subject"', '"a@b.example"', '"fileinto"', '"variables"', '"imap4flags"',
     '"${1}"', '"*a?"', '"\\\\seen"', ":is", ":matches", ":over", ":flags", ":count", '"ge"', "10", "2K", "{", "}", "(", ")", "[",
     "]", ",", ";", "text:\nx\n.\n", "#c\n", "/*", "*/", '"', ":", "\\", "ü"]
)  # fmt: skip


@given(
    st.lists(WORDS, max_size=40).map(" ".join)
    | st.text('"\\:;{}[](),/*#.text\r\n \tü\0${hex:4}', max_size=200)
    | st.binary(max_size=200)
)
def test_no_script_raises_anything_but_sieve_errors(script: str | bytes) -> None:
    try:
        compile_script(script)
    except SieveError as error:
        found = str(error)
    else:
        return
    assert found.startswith("line ")


@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_what_compiles_also_ends(body: str) -> None:
    script = f'require ["fileinto", "variables", "imap4flags", "relational"]; {body}'
    try:
        compile_script(script)
    except SieveError:
        return
    outcome = run(script)
    assert outcome.actions
    assert outcome.cost <= Limits().cost
