"""Filter rules of a form: whatever they say, their script compiles, and does just what they say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petitbleu_mail.sieve.actions import Action as SieveAction
from petitbleu_mail.sieve.actions import Discard, FileInto, Keep, Redirect
from petitbleu_mail.sieve.catalog import DELIVERED
from petitbleu_mail.sieve.filter_form import (
    MAX_RULES,
    Action,
    Condition,
    FormError,
    Rule,
    compile_form,
    read_form,
    write_form,
)
from petitbleu_mail.sieve.message import Envelope, ParsedView
from petitbleu_mail.sieve.script import compile_script, evaluate

# all that has a meaning in strings, patterns, comments or variables
LETTERS = 'abAB éÉ*?\\"${}:;.,#/()[]<>'
# few letters, so that what is looked for is there at times
TEXTS = st.one_of(st.text(LETTERS, min_size=1, max_size=6), st.text('aA*?\\"', min_size=1, max_size=3)).filter(
    str.strip
)
WORDS = st.text("abABéÉ", min_size=1, max_size=4)
TEXT_FIELDS = {"subject": "Subject", "listId": "List-Id", "header": "X-Other"}
MARKS = {"markRead": "\\Seen", "flag": "\\Flagged"}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    field: Any = draw(st.sampled_from(["from", "to", "cc", "subject", "listId", "header", "size"]))
    op: Any
    if field == "size":
        return Condition(
            "size", draw(st.sampled_from(["over", "under"])), draw(st.integers(0, 400)), negate=draw(st.booleans())
        )
    op = draw(st.sampled_from(["contains", "is", "startsWith", "endsWith"]))
    value = draw(TEXTS | WORDS | st.sampled_from(["a@x.test", "B@X.test", "@x.test"]))
    return Condition(field, op, value, "x-other" if field == "header" else "", draw(st.booleans()))


def actions() -> st.SearchStrategy[Action]:
    mailboxes = st.sampled_from(["F1", "F12", "F13"])
    return st.one_of(
        st.builds(Action, st.sampled_from(["fileInto", "copyTo"]), mailboxes),
        st.builds(lambda word: Action("addKeyword", keyword=word), st.sampled_from(["work", "$important"])),
        st.builds(lambda to: Action("forwardTo", address=to), st.sampled_from(["x@y.test", '"a b"@y.test'])),
        st.sampled_from([Action("markRead"), Action("flag"), Action("discard"), Action("stop")]),
    )


RULES = st.builds(
    Rule, TEXTS | st.just(""), st.lists(conditions(), max_size=3), st.lists(actions(), max_size=4), st.booleans(),
    st.sampled_from(["all", "any"]),
)  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {name: st.tuples(WORDS, st.sampled_from(["a@x.test", "b@x.test", "ab@y.test"])) for name in ("from", "to", "cc")}
    | {name: TEXTS.map(str.strip) for name in ("Subject", "List-Id", "X-Other")}
)


def octets_of(message: dict[str, Any]) -> bytes:
    lines = [f"{name.title()}: {message[name][0]} <{message[name][1]}>" for name in ("from", "to", "cc")]
    lines += [f"{name}: {message[name]}" for name in ("Subject", "List-Id", "X-Other")]
    return ("\r\n".join(lines) + "\r\n\r\nHello\r\n").encode()


def holds(one: Condition, message: dict[str, Any], size: int) -> bool:
    """Whether a condition holds: what the form says, without Sieve."""
    if isinstance(one.value, int):
        found = size > one.value if one.op == "over" else size < one.value
        return found != one.negate
    wanted = one.value.upper()
    if one.field in TEXT_FIELDS:
        text = message[TEXT_FIELDS[one.field]]
    elif one.op == "contains":
        text = f"{message[one.field][0]} <{message[one.field][1]}>"
    else:
        text = message[one.field][1]
    text = text.upper()
    if one.field == "listId" and one.op == "is":
        found = f"<{wanted}>" in text
    else:
        found = {
            "contains": wanted in text, "is": wanted == text, "startsWith": text.startswith(wanted),
            "endsWith": text.endswith(wanted),
        }[one.op]  # fmt: skip
    return found != one.negate


def model(rules: list[Rule], message: dict[str, Any], size: int) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Return mailbox → flags ("INBOX" for the inbox), and the addresses to send on to: what the rules say, without Sieve."""
    flags: dict[str, None] = {}
    places: dict[str, tuple[str, ...]] = {}
    forwards: set[str] = set()
    keep = True
    for rule in rules:
        found = [holds(one, message, size) for one in rule.conditions]
        if not rule.enabled or not (all(found) if rule.match == "all" else any(found)):
            continue
        for one in rule.actions:
            if one.type in {"addKeyword", *MARKS}:
                flags[MARKS.get(one.type, one.keyword)] = None
        for one in rule.actions:
            if one.type == "stop":
                break
            if one.type in {"fileInto", "copyTo"}:
                places[one.mailbox_id] = tuple(flags)
            elif one.type == "forwardTo":
                forwards.add(one.address)
            keep = keep and one.type not in {"fileInto", "discard"}
        else:
            continue
        break
    if keep:
        places["INBOX"] = tuple(flags)
    return places, forwards


def seen_of(done: tuple[SieveAction, ...]) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    places: dict[str, tuple[str, ...]] = {}
    forwards: set[str] = set()
    for one in done:
        if isinstance(one, Keep):
            places["INBOX"] = one.flags or ()
        elif isinstance(one, FileInto):
            assert one.mailbox_id is not None
            places[one.mailbox_id] = one.flags or ()
        elif isinstance(one, Redirect):
            forwards.add(one.address)
        else:
            assert isinstance(one, Discard)
    return places, forwards


@settings(max_examples=400)
@given(st.lists(RULES, max_size=4), MESSAGES)
def test_a_script_does_what_its_form_says(rules: list[Rule], message: dict[str, Any]) -> None:
    assert list(read_form(write_form(rules))) == rules
    script = compile_script(compile_form(rules), catalog=DELIVERED)
    octets = octets_of(message)
    outcome = evaluate(script, ParsedView(octets), Envelope("a@x.test", "b@x.test"))
    assert outcome.fault is None
    assert seen_of(outcome.actions) == model(rules, message, len(octets))


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_written_is_refused_or_compiles_to_one_rule(name: str, value: str, header: str) -> None:
    form = [{"name": name, "conditions": [{"field": "header", "header": header, "op": "startsWith", "value": value}],
             "actions": [{"type": "discard"}]}]  # fmt: skip
    try:
        rules = read_form(msgspec.json.encode(form))
    except (FormError, UnicodeEncodeError):
        return
    script = compile_script(compile_form(rules), catalog=DELIVERED)
    assert script.requires == {"comparator-i;unicode-casemap"}
    outcome = evaluate(script, ParsedView(b"Subject: x\r\n\r\nHello\r\n"), Envelope("a@x.test", "b@x.test"))
    assert outcome.actions == (Keep(),) or header.lower() == "subject"


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(octets: bytes) -> None:
    try:
        rules = read_form(octets)
    except FormError:
        return
    assert compile_script(compile_form(rules), catalog=DELIVERED)


def rule(condition: dict[str, Any] | None = None, action: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    conditions = [] if condition is None else [condition]
    return {"name": "x", "conditions": conditions, "actions": [] if action is None else [action], **more}


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ([rule({"field": "subject", "op": "contains", "value": "a\r\nstop"})], "0/conditions/0/value"),
        ([rule({"field": "subject", "op": "contains", "value": " "})], "0/conditions/0/value"),
        ([rule({"field": "subject", "op": "contains", "value": 3})], "0/conditions/0/value"),
        ([rule({"field": "subject", "op": "over", "value": "x"})], "0/conditions/0/op"),
        ([rule({"field": "size", "op": "over", "value": -1})], "0/conditions/0/value"),
        ([rule({"field": "header", "op": "is", "value": "x"})], "0/conditions/0/header"),
        ([rule({"field": "header", "op": "is", "value": "x", "header": "a b"})], "0/conditions/0/header"),
        ([rule({"field": "cc", "op": "is", "value": "x", "header": "to"})], "0/conditions/0/header"),
        ([rule(action={"type": "fileInto", "mailboxId": "Work"})], "0/actions/0/mailboxId"),
        ([rule(action={"type": "fileInto"})], "0/actions/0/mailboxId"),
        ([rule(action={"type": "forwardTo", "address": "nobody"})], "0/actions/0/address"),
        ([rule(action={"type": "forwardTo", "address": 'x@y.test"; discard; #'})], "0/actions/0/address"),
        ([rule(action={"type": "addKeyword", "keyword": "a b"})], "0/actions/0/keyword"),
        ([rule(action={"type": "addKeyword", "keyword": "\\Deleted"})], "0/actions/0/keyword"),
        ([rule(name="a\nstop;")], "0/name"),
        ([rule(), rule()] * (MAX_RULES // 2) + [rule()], ""),
        ([rule(action={"type": "forwardTo", "address": f"a{n}@x.test"}) for n in range(5)], ""),
        ([rule(action={"type": "fileInto", "mailboxId": f"F{n + 1}"}) for n in range(32)], ""),
        ([rule(surprise=1)], "0"),
        ([rule(action={"type": "explode"})], "0/actions/0/type"),
        ({}, ""),
    ],
)  # fmt: skip
def test_what_a_form_may_not_say(form: Any, path: str) -> None:
    with pytest.raises(FormError) as refused:
        read_form(msgspec.json.encode(form))
    assert refused.value.path == path


def test_a_large_form_compiles_within_the_bounds_of_scripts() -> None:
    value = '\\"*?' * 125
    conditions = [{"field": "subject", "op": "startsWith", "value": value}] * 10
    form = [rule(name=f"{n}", conditions=conditions, actions=[{"type": "stop"}]) for n in range(5)]
    form = [{**one, "conditions": conditions} for one in form]
    script = compile_form(read_form(msgspec.json.encode(form)))
    assert compile_script(script, catalog=DELIVERED)
