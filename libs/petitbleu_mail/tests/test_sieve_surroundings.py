"""Tests of what asks outside or changes the message.

editheader (RFC 5293), include (6609), mailbox (5490), special-use (8579), duplicate (7352), enotify (5435, 5436), extlists (6134).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.sieve_bench import MESSAGE, actions, faults, holds, run

from petitbleu_mail.sieve.actions import Discard, FileInto, HeaderEdit, Keep, Notify, Redirect, Remember
from petitbleu_mail.sieve.editing import edited, edited_header
from petitbleu_mail.sieve.message import HeaderView, ParsedView
from petitbleu_mail.sieve.notifying import Mailto, parse_mailto
from petitbleu_mail.sieve.script import Script, compile_script


class Around:
    """Surroundings of a test."""

    def __init__(self, **scripts: str) -> None:
        self.scripts = scripts
        self.seen: set[tuple[str, str]] = set()

    def script(self, name: str, is_global: bool, /) -> Script | None:
        text = self.scripts.get(f"global_{name}" if is_global else name)
        return None if text is None else compile_script(text)

    def mailbox_exists(self, name: str, /) -> bool:
        return name in {"INBOX", "Archive"}

    def mailbox_id_exists(self, mailbox_id: str, /) -> bool:
        return mailbox_id in {"F12", "F13"}

    def special_use_exists(self, attribute: str, mailbox: str | None, /) -> bool:
        return attribute.lower() == "\\archive" and mailbox in {None, "Archive"}

    def is_duplicate(self, handle: str, unique_id: str, /) -> bool:
        return (handle, unique_id) in self.seen

    def list_exists(self, uri: str, /) -> bool:
        return uri == ":addrbook:default"

    def list_contains(self, uri: str, value: str, /) -> bool:
        return value.lower() == "jurgen+work@example.org"


EDIT = 'require ["editheader", "fileinto", "index"]; '


def test_rfc5293_4_addheader() -> None:
    added = HeaderEdit("X-New", "value")
    assert actions(EDIT + 'addheader "X-New" "value"; if header "x-new" "value" { fileinto "a"; }') == [
        FileInto("a", edits=(added,))
    ]
    assert actions(EDIT + 'addheader :last "X-New" "a\r\nX-Other: b";') == [
        Keep(edits=(HeaderEdit("X-New", "a X-Other: b", last=True),))
    ]
    assert actions(EDIT + 'addheader "Received" "from me"; addheader "Authentication-Results" "x; dkim=pass";') == [
        Keep()
    ]
    assert "no name of a header field" in faults(EDIT + 'addheader "X New" "v";')[0]


def test_rfc5293_5_deleteheader() -> None:
    assert actions(EDIT + 'deleteheader "x-number"; if exists "x-number" { discard; }') == [
        Keep(edits=(HeaderEdit("x-number", number=1),))
    ]
    assert actions(EDIT + 'deleteheader "received"; if not exists "received" { discard; }') == [Keep()]
    assert actions(EDIT + 'deleteheader :contains "x-number" "5";') == [Keep()]
    twice = b"X: 1\r\nX: 2\r\nX: 3\r\n\r\n"
    assert actions(
        EDIT + 'deleteheader :index 2 "x"; deleteheader :index 1 :last "x"; if header "x" "1" { fileinto "a"; }', twice
    ) == [FileInto("a", edits=(HeaderEdit("x", number=2), HeaderEdit("x", number=2)))]
    assert actions(EDIT + 'deleteheader :index 2 "x" "1";', twice) == [Keep()]


def test_rfc5293_6_an_action_takes_the_changes_so_far() -> None:
    found = actions(EDIT + 'addheader "A" "1"; fileinto "a"; addheader "B" "2"; keep;')
    first, second = HeaderEdit("A", "1"), HeaderEdit("B", "2")
    assert found == [FileInto("a", edits=(first,)), Keep(edits=(first, second))]


def test_rfc5293_edited_octets_are_what_the_script_saw() -> None:
    edits = (
        HeaderEdit("X-New", "Grüße aus der Ferne, " * 10),
        HeaderEdit("received", number=1),
        HeaderEdit("X-Last", "word " * 40, last=True),
        HeaderEdit("received", number=1),
    )
    octets = edited(MESSAGE, edits)
    header = HeaderView(ParsedView(octets).fields())
    assert header.values("x-new") == [("Grüße aus der Ferne, " * 10).strip()]
    assert header.values("x-last") == [("word " * 40).strip()]
    assert header.values("received") == []
    assert header.values("subject") == HeaderView(ParsedView(MESSAGE).fields()).values("subject")
    assert octets.endswith(MESSAGE.partition(b"\r\n\r\n")[2])
    assert max(map(len, octets.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78
    assert edited(MESSAGE, ()) == MESSAGE
    assert edited(b"body", (HeaderEdit("A", "b"),)) == b"A: b\r\n\r\nbody"


INCLUDE = 'require ["include", "variables", "fileinto"]; '


def test_rfc6609_3_2_include_and_3_3_return() -> None:
    around = Around(one=INCLUDE + "if true { return; } discard;", two='require "fileinto"; fileinto "two";')
    assert actions(INCLUDE + 'include "one"; include "two"; fileinto "own";', around=around) == [
        FileInto("two"),
        FileInto("own"),
    ]
    assert actions(INCLUDE + 'include :optional "none"; discard;', around=around) == [Discard()]
    assert run(INCLUDE + 'include "none"; discard;', around=around).actions == (Keep(),)
    assert actions(INCLUDE + 'include :global "g";', around=Around(global_g="discard;")) == [Discard()]
    assert actions(INCLUDE + "return; discard;") == [Keep()]
    assert "without variables" in faults(INCLUDE + 'include "${a}";')[0]
    assert compile_script(INCLUDE + 'include "a"; include :global "b"; include "a";').includes == (
        ("a", False),
        ("b", True),
    )


def test_rfc6609_3_1_loops_and_depth_are_bounded() -> None:
    for around in (Around(a=INCLUDE + 'include "b";', b=INCLUDE + 'include "a";'), Around(a='"')):
        outcome = run(INCLUDE + 'include "a";', around=around)
        assert outcome.actions == (Keep(),)
        assert outcome.fault is not None
    many = run(INCLUDE + 'include "a";' * 31, around=Around(a="keep;"))
    assert many.fault is not None
    assert actions(INCLUDE + 'include :once "a";' * 31, around=Around(a="discard;")) == [Discard()]


def test_rfc6609_3_4_variables_are_of_one_script_unless_global() -> None:
    around = Around(a=INCLUDE + 'global "g"; set "g" "x"; set "l" "y"; set "global.h" "z";')
    assert actions(INCLUDE + 'global "g"; include "a"; fileinto "${g}-${l}-${global.h}-${h}";', around=around) == [
        FileInto("x--z-")
    ]
    assert run(INCLUDE + 'set "g" "1"; global "g";').fault is not None


def test_rfc5490_3_mailboxexists_and_create() -> None:
    assert holds('mailboxexists ["INBOX", "Archive"]', "mailbox", around=Around())
    assert not holds('mailboxexists ["INBOX", "Other"]', "mailbox", around=Around())
    assert actions('require ["mailbox", "fileinto"]; fileinto :create "New";') == [FileInto("New", create=True)]


def test_rfc8579_3_specialuse_exists_and_4_fileinto() -> None:
    assert holds(r'specialuse_exists "\\Archive"', "special-use", around=Around())
    assert holds(r'specialuse_exists "Archive" "\\Archive"', "special-use", around=Around())
    assert not holds(r'specialuse_exists "INBOX" "\\Archive"', "special-use", around=Around())
    assert not holds(r'specialuse_exists ["\\Archive", "\\Junk"]', "special-use", around=Around())
    assert actions(r'require ["special-use", "fileinto"]; fileinto :specialuse "\\Archive" "Old";') == [
        FileInto("Old", special_use="\\Archive")
    ]


def test_rfc7352_3_duplicate() -> None:
    around = Around()
    script = 'require "duplicate"; if duplicate { discard; }'
    first = run(script, around=around)
    assert first.actions == (Keep(),)
    assert first.remember == (Remember("", "<one@example.org>", 7 * 86_400, last=False),)
    around.seen.add(("", "<one@example.org>"))
    again = run(script, around=around)
    assert again.actions == (Discard(),)
    assert again.remember == ()
    assert run(script.replace("duplicate {", "duplicate :last {"), around=around).remember[0].last
    other = (
        'require ["duplicate", "variables"]; if duplicate :handle "h" :uniqueid "${missing}x" :seconds 60 { discard; }'
    )
    assert run(other, around=around).remember == (Remember("h", "x", 60, last=False),)
    assert run(script, b"Subject: no id\r\n\r\n", around=around).remember == ()
    assert "cannot stand together" in faults('require "duplicate"; if duplicate :header "a" :uniqueid "b" {}')[0]
    assert "no name of a header field" in faults('require "duplicate"; if duplicate :header "a b" {}')[0]


def test_rfc5435_3_notify() -> None:
    assert actions('require "enotify"; notify "mailto:a@example.com";') == [Notify("mailto:a@example.com"), Keep()]
    script = 'require "enotify"; notify :from "b@example.com" :importance "1" :options ["o"] :message "new" "mailto:a@example.com";'
    assert actions(script)[0] == Notify("mailto:a@example.com", "b@example.com", 1, ("o",), "new")
    assert "no address to notify" in faults('require "enotify"; notify "xmpp:a@example.com";')[0]
    assert "the importance is" in faults('require "enotify"; notify :importance "4" "mailto:a@example.com";')[0]
    assert run('require "enotify";' + "".join(f'notify "mailto:a{n}@example.com";' for n in range(5))).fault is not None


def test_rfc5435_4_and_5_tests_of_methods() -> None:
    assert holds('valid_notify_method ["mailto:a@example.com", "mailto:b@example.com?subject=x"]', "enotify")
    assert not holds('valid_notify_method ["mailto:a@example.com", "tel:1"]', "enotify")
    assert holds('notify_method_capability "mailto:a@example.com" "Online" "maybe"', "enotify")
    assert not holds('notify_method_capability "tel:1" "Online" "maybe"', "enotify")


def test_rfc5435_6_encodeurl() -> None:
    script = 'set :encodeurl "a" "Grüße &"; if string "${a}" "Gr%C3%BC%C3%9Fe%20%26" { discard; }'
    assert actions(f'require ["enotify", "variables"]; {script}') == [Discard()]


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("mailto:a@example.com", Mailto(("a@example.com",), ())),
        ("MAILTO:a@example.com,b@example.com?Subject=hi%20you&from=x", Mailto(("a@example.com", "b@example.com"), (("subject", "hi you"),))),
        ("mailto:?to=a@example.com&subject=a%0d%0aBcc:%20x", Mailto(("a@example.com",), (("subject", "a Bcc: x"),))),
        ("mailto:", None), ("mailto:nobody", None), ("http://example.com", None), ("mailto:a@example.com?x", None),
        ("mailto:" + ",".join(f"a{n}@example.com" for n in range(5)), None),
    ],
)  # fmt: skip
def test_rfc5436_2_mailto(uri: str, found: Mailto | None) -> None:
    assert parse_mailto(uri) == found


def test_rfc6134_2_lists() -> None:
    assert holds('address :list "from" ":addrbook:default"', "extlists", around=Around())
    assert not holds('address :list "to" ":addrbook:default"', "extlists", around=Around())
    assert holds('valid_ext_list ":addrbook:default"', "extlists", around=Around())
    assert not holds('valid_ext_list [":addrbook:default", "tag:none"]', "extlists", around=Around())
    assert actions('require "extlists"; redirect :list ":addrbook:default";', around=Around()) == [
        Redirect(":addrbook:default", is_list=True)
    ]
    assert run('require "extlists"; redirect :list "tag:none";', around=Around()).fault is not None
    assert run('require "extlists"; if address :list "from" "tag:none" { discard; }', around=Around()).actions == (
        Keep(),
    )


def test_rfc9042_4_a_mailbox_by_its_id() -> None:
    require = 'require ["fileinto", "mailboxid", "mailbox", "special-use", "copy"]; '
    assert actions(require + 'fileinto :mailboxid "F12" "Work";') == [FileInto("Work", mailbox_id="F12")]
    assert actions(require + 'fileinto :copy :create :mailboxid "F9" "Work";') == [
        FileInto("Work", create=True, mailbox_id="F9"), Keep(),
    ]  # fmt: skip
    assert faults(require + 'fileinto :mailboxid "F12" :specialuse "\\\\Archive" "Work";')
    assert faults('require "fileinto"; fileinto :mailboxid "F12" "Work";')
    two = 'fileinto :mailboxid "F12" "INBOX"; fileinto :mailboxid "F13" "INBOX"; keep;'
    assert actions(require + two) == [
        FileInto("INBOX", mailbox_id="F12"), FileInto("INBOX", mailbox_id="F13"), Keep(),
    ]  # fmt: skip
    for names, there in (('"F12"', True), ('["F12", "F13"]', True), ('["F12", "F14"]', False), ('"Work"', False)):
        found = actions(require + f"if mailboxidexists {names} {{ discard; }}", around=Around())
        assert found == [Discard() if there else Keep()]


FIELDS = st.lists(
    st.sampled_from([b"X-A: 1", b"x-a: 2\r\n more", b"X-B: 3", b"Received: by x", b"Subject: hi", b"odd line"]),
    max_size=6,
)
EDITS = st.lists(
    st.one_of(
        st.builds(
            HeaderEdit, st.sampled_from(["X-A", "X-New"]), st.sampled_from(["v", "é" * 60, ""]), last=st.booleans()
        ),
        st.builds(HeaderEdit, st.sampled_from(["x-a", "X-B", "X-None"]), number=st.integers(1, 3)),
    ),
    max_size=5,
)


@given(FIELDS, EDITS, st.binary(max_size=50))
def test_an_edited_header_and_the_rest_are_the_edited_message(
    fields: list[bytes], edits: list[HeaderEdit], body: bytes
) -> None:
    # what is accepted begins with our trace
    blob = b"".join([one + b"\r\n" for one in [b"Received: from y", *fields]]) + b"\r\n" + body
    header, taken = edited_header(blob, tuple(edits))
    whole = edited(blob, tuple(edits))
    assert whole == (header + blob[taken:] if taken else blob)
    assert whole.endswith(b"\r\n" + body)
    # what was read of a longer message is enough
    assert b"odd line" in fields or edited_header(blob[: len(blob) - len(body)], tuple(edits)) == (header, taken)


def test_a_header_that_is_not_whole_is_left_alone() -> None:
    added = (HeaderEdit("X-New", "v"),)
    assert edited_header(b"A: b\r\nC: d\r\n", added) == (b"", 0)
    assert edited_header(b"", added) == (b"", 0)
    assert edited_header(b"A: b\r\n\r\n", ()) == (b"", 0)
    assert edited_header(b"A: b\r\n\r\n", added) == (b"X-New: v\r\nA: b\r\n\r\n", 8)
