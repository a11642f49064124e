"""Scripts as an account keeps them: what a name may be, and what a list of changes makes of a list of scripts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from petitbleu_mail.sieve.faults import LIMITS

MAX_SCRIPTS: Final = 32
MAX_SCRIPT_OCTETS: Final = LIMITS.script_octets
MAX_NAME_OCTETS: Final = 512
"""RFC 9661 §1.2.1 wants no less."""
_UNWANTED: Final = frozenset({"\u2028", "\u2029", "\ufeff"})


class ScriptStatus(IntEnum):
    """What became of a change; the numbers are those of the contract."""

    OK = 1
    NOT_FOUND = 2
    INVALID_CONTENT = 3
    INVALID_NAME = 4
    NAME_TAKEN = 5
    ACTIVE = 6
    TOO_LARGE = 7
    TOO_MANY = 8


@dataclass(frozen=True, slots=True)
class Script:
    """A script without its content: ids of it and of its content, its name, its octets, and whether it is evaluated."""

    script_id: int
    name: str
    content_id: int
    octets: int
    active: bool = False


@dataclass(frozen=True, slots=True)
class ScriptUpdate:
    """One change. `created_by` is the index of the update that makes the script; None for what is not set.

    `fault` says what is wrong with the content; it was found before.
    """

    script_id: int = 0
    created_by: int | None = None
    destroy: bool = False
    name: str | None = None
    content: bytes | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What became of a change."""

    status: ScriptStatus
    script: Script | None = None
    reason: str = ""
    existing_id: int = 0


@dataclass(slots=True)
class Plan:
    """The scripts as they shall be, the contents to write, and the last number given."""

    scripts: dict[int, Script]
    active_id: int
    last_id: int
    results: list[ScriptResult] = field(default_factory=list)
    contents: dict[int, bytes] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    activated_id: int = 0
    deactivated_id: int = 0


def is_name(name: str) -> bool:
    """Whether a script may have this name (RFC 9661 §2, RFC 5804 §1.6): Net-Unicode without controls, 1 to 512 octets."""
    try:
        octets = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < octets <= MAX_NAME_OCTETS and not any(
        one in _UNWANTED or unicodedata.category(one) == "Cc" for one in name
    )


def plan(before: Sequence[Script], active_id: int, last_id: int, updates: Sequence[ScriptUpdate]) -> Plan:
    """Work out what a list of changes does, each on what those before it left."""
    planned = Plan({one.script_id: one for one in before}, active_id, last_id)
    made: dict[int, int] = {}
    for index, update in enumerate(updates):
        planned.results.append(_apply(planned, update, index, made))
    return planned


def switch(planned: Plan, *, activate_id: int, deactivate: bool) -> None:
    """Activate or deactivate, unless any change was refused (RFC 9661 §2.3); an id that names nothing is ignored."""
    if any(result.status is not ScriptStatus.OK for result in planned.results):
        return
    wanted = planned.active_id
    if activate_id in planned.scripts:
        wanted = activate_id
    elif deactivate and not activate_id:
        wanted = 0
    if wanted == planned.active_id:
        return
    planned.activated_id, planned.deactivated_id = wanted, planned.active_id
    planned.active_id = wanted


def _apply(planned: Plan, update: ScriptUpdate, index: int, made: dict[int, int]) -> ScriptResult:
    script_id = update.script_id
    if update.created_by is not None:
        script_id = made.get(update.created_by, 0)
    creates = not update.script_id and update.created_by is None and not update.destroy
    old = planned.scripts.get(script_id)
    if old is None and not creates:
        return ScriptResult(ScriptStatus.NOT_FOUND)
    if update.destroy and old is not None:
        if old.script_id == planned.active_id:  # RFC 9661 §2.3, RFC 5804 §2.10
            return ScriptResult(ScriptStatus.ACTIVE)
        del planned.scripts[old.script_id]
        planned.contents.pop(old.script_id, None)
        planned.touched.add(old.script_id)
        return ScriptResult(ScriptStatus.OK)
    refused = _refusal(planned, update, script_id, creates=creates)
    if refused is not None:
        return refused
    if old is None:
        planned.last_id += 1
        script_id = made[index] = planned.last_id
        old = Script(script_id, update.name or "", 0, 0)
    new = old if update.name is None else replace(old, name=update.name)
    if update.content is not None:
        planned.last_id += 1
        planned.contents[script_id] = update.content
        new = replace(new, content_id=planned.last_id, octets=len(update.content))
    planned.scripts[script_id] = new
    planned.touched.add(script_id)
    return ScriptResult(ScriptStatus.OK, new)


def _refusal(planned: Plan, update: ScriptUpdate, script_id: int, *, creates: bool) -> ScriptResult | None:
    refused = _content_refusal(update, creates=creates)
    if refused is not None:
        return refused
    if creates and len(planned.scripts) >= MAX_SCRIPTS:
        return ScriptResult(ScriptStatus.TOO_MANY)
    if update.name is None and not creates:
        return None
    if update.name is None or not is_name(update.name):
        return ScriptResult(ScriptStatus.INVALID_NAME)
    for one in planned.scripts.values():
        if one.name == update.name and one.script_id != script_id:
            return ScriptResult(ScriptStatus.NAME_TAKEN, existing_id=one.script_id)
    return None


def _content_refusal(update: ScriptUpdate, *, creates: bool) -> ScriptResult | None:
    if update.content is not None and len(update.content) > MAX_SCRIPT_OCTETS:
        return ScriptResult(ScriptStatus.TOO_LARGE)
    if update.fault:
        return ScriptResult(ScriptStatus.INVALID_CONTENT, reason=update.fault)
    if creates and update.content is None:
        return ScriptResult(ScriptStatus.INVALID_CONTENT, reason="a script has a content")
    return None
