"""Each rule that an attack attacks is switched off, and the attack comes through: the attacks of `test_junior_attacks`, `test_junior_cooling`, `test_junior_links` and `test_junior_schools` are no sham (`make soak`)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.integration.junior.conftest import WITHOUT
from tests.integration.junior.test_junior_attacks import FORGED

ATTACKS = Path(__file__).with_name("test_junior_attacks.py")
COOLING = Path(__file__).with_name("test_junior_cooling.py")
LINKS = Path(__file__).with_name("test_junior_links.py")
SCHOOLS = Path(__file__).with_name("test_junior_schools.py")
OPENINGS = ("approve", "take-back", "level", "group", "group-voice", "deliver", "deliver-once")
GUARD, JUDGING, HEAD = (
    "petitbleu_junior_guard.domain.rules",
    "petitbleu_ingest.judging",
    "petitbleu_ingest.domain.message",
)

# Nobody asks who wrote a mail: DMARC refuses nothing, all is authenticated, and the guard does not look.
ANYBODY = {
    f"{JUDGING}.treatment": [
        ("    dmarc = Measure.NONE\n    if grounds.asked is Policy.REJECT:", "    dmarc = Measure.NONE\n    if False:")
    ],
    GUARD: [
        ("(item.dmarc_failed, Reason.DMARC_FAILED)", "(False, Reason.DMARC_FAILED)"),
        ("(not item.authenticated, Reason.NOT_AUTHENTICATED)", "(False, Reason.NOT_AUTHENTICATED)"),
    ],
}
# Besides, the author is whoever is named anywhere in the header, as somebody might read it, and that there are several is no mark of junk.
_FRIEND = '_only_address(fields[0]) if len(fields) == 1 else ""'
_NAMES = (b"ann@good.example", b"ann=40good", b"<@good.example:", b"=?utf-8?q?ann?=@good.example", b'"ann good"')
ANYWHERE = ANYBODY | {
    GUARD: [*ANYBODY[GUARD], ("(item.junk, Reason.JUNK)", "(False, Reason.JUNK)")],
    HEAD: [(_FRIEND, f'"ann@good.example" if any(one in message.lower() for one in {_NAMES!r}) else {_FRIEND}')],
}
# Besides, an address is taken for another that is like it.
FORM = "found = parse_mailbox(address, max_local=MAX_REVERSE_LOCAL).canonical().address"


def alike(made: str) -> dict[str, list[tuple[str, str]]]:
    return ANYBODY | {GUARD: [*ANYBODY[GUARD], (FORM, f"{FORM}\n        found = {made}")]}


class Rule(NamedTuple):
    """What is switched off, and the tests that must fail then."""

    changes: dict[str, list[tuple[str, str]]]
    attacks: frozenset[str]
    file: Path = ATTACKS


def forged(*names: str) -> frozenset[str]:
    return frozenset(f"test_who_is_not_the_friend_does_not_come[{name}]" for name in names)


NAMED = [name for name, field in FORGED.items() if any(one in field.lower().encode() for one in _NAMES)]
RULES = {
    "authentication": Rule(ANYBODY, forged("from is not who sent it", "a friend without dmarc", "sender is the stranger", "forged results", "forged arc")),
    "one author, in From": Rule(ANYWHERE, forged(*NAMED)),
    "an address is not its variants": Rule(
        alike('found.partition("@")[0].partition("+")[0].replace(".", "") + "@" + found.partition("@")[2]'),
        forged("plus", "dot") | {"test_variants_of_a_friend_are_others_even_with_a_good_signature"},
    ),
    "a domain is not those below it": Rule(
        alike('found.removesuffix(".evil.example") if "good.example." in found else found'), forged("below a friend's name")
    ),
    "an address is not what looks like it": Rule(
        alike('found if "ann" not in found and "xn--" not in found and not found.endswith("@good.example") else "ann@good.example"'),
        frozenset(f"test_who_only_looks_like_a_friend_does_not_come_at_any_level[{level}]" for level in (2, 3, 4)),
    ),
    "reports of non-delivery wait": Rule(
        {GUARD: [("(not item.mail_from, Reason.NULL_SENDER)", "(False, Reason.NULL_SENDER)")]},
        frozenset({"test_no_bounce_comes_forged_or_with_a_good_signature"}),
    ),
    "the account is guarded, whatever its address": Rule(
        {"petitbleu_store.service.filing": [('self._verdict(one) if account.guarded else "deliver"', '"deliver"')]},
        frozenset({"test_no_other_address_of_the_child_is_a_way_round"}),
    ),
    "what a rule sends on is as well known as it was": Rule(
        {
            "petitbleu_delivery.service.scripts.carrying": [
                ("authenticated=self._message.authenticated,\n", "authenticated=True,\n"),
                ("dmarc_failed=self._message.dmarc_failed,\n", "dmarc_failed=False,\n"),
            ]
        },
        frozenset({"test_a_grown_up_who_sends_all_on_is_no_way_round"}),
    ),
    "who may be somebody else opens no door": Rule(
        {"petitbleu_junior_guard.service.changes": [("if due > now and opening:", "if False:")]},
        frozenset(f"test_nothing_that_opens_a_door_is_done_before_the_day_is_over[{one}]" for one in OPENINGS),
        COOLING,
    ),
    "a refusal ends what waits": Rule(
        {"petitbleu_junior_guard.service.changes": [("await self._rows.settle(account_id, subject, actor.party if opening else None)", "pass")]},
        frozenset(f"test_a_refusal_ends_what_waits_whoever_asked_for_it[{one}]" for one in ("herself", "the other")),
        COOLING,
    ),
    "a link is good once": Rule(
        {"petitbleu_junior_guard.adapters.links": [("AND l.used_at IS NULL AND l.ends_at > $4", "AND l.ends_at > $4")]},
        frozenset(
            {"test_a_link_leads_its_guardian_to_the_child_once_and_decides_nothing", "test_of_many_at_once_one_opens_it"}
        ),
        LINKS,
    ),
    "a link is its guardian's": Rule(
        {
            "petitbleu_junior_guard.adapters.links": [
                (
                    "WHERE l.partition = $1 AND l.guardian_account_id = $2 AND l.digest = $3",
                    "WHERE $1::smallint IS NOT NULL AND $2::bigint IS NOT NULL AND l.digest = $3",
                ),
                ("return account_id if still else None", "return account_id"),
            ]
        },
        frozenset({"test_a_link_is_nobody_elses", "test_a_link_ends_and_ends_with_the_guardianship"}),
        LINKS,
    ),
    "a refusal outweighs every approval": Rule(
        {
            "petitbleu_junior_guard.domain.voices": [
                ("    if any(voice.kind in AGAINST for voice in said):\n", "    if False:\n"),
                ("    refused = any(voice.kind in AGAINST for voice in voices)", "    refused = False"),
            ]
        },
        frozenset({"test_a_dispute_stays_closed_whatever_the_one_parent_tries"}),
        COOLING,
    ),
    "a class waits for a guardian": Rule(
        {
            "petitbleu_junior_guard.domain.voices": [
                ("until = approval(membership.voices)\n", "until = approval(membership.voices) or NO_END\n")
            ],
            "petitbleu_junior_guard.adapters.class_circles": [("approved = holds(approval(said.get(subject_of(class_id), [])), now)", "approved = True")],
        },
        frozenset(
            {"test_a_class_opens_nothing_until_a_guardian_approves_it", "test_a_teacher_keeps_the_children_and_not_the_teachers"}
        ),
        SCHOOLS,
    ),
    "a class ends with the school year": Rule(
        {
            "petitbleu_junior_guard.domain.voices": [("until = min(until, membership.ends_at)", "pass")],
            "petitbleu_junior_guard.adapters.groups": [("min(ends_at or school_ends_at, school_ends_at)", "ends_at")],
        },
        frozenset(
            {"test_when_the_school_year_is_over_so_is_the_class", "test_an_approval_is_for_the_year_that_the_guardian_saw"}
        ),
        SCHOOLS,
    ),
    "an announcement is written here": Rule(
        {GUARD: [("            and item.local\n", "")]},
        frozenset(
            {
                "test_at_level_2_teachers_tell_a_class_something_and_nobody_writes_back",
                "test_what_a_teacher_sends_is_filed_and_what_says_it_is_a_teachers_is_held",
            }
        ),
        SCHOOLS,
    ),
    "a class has nobody but the tenant's children and teachers": Rule(
        {
            "petitbleu_junior_guard.domain.schools": [
                ("one is None or one.tenant_id != tenant_id or not _fits(one, row.role)", "one is None")
            ]
        },
        frozenset({"test_only_children_and_teachers_of_the_tenant_are_members"}),
        SCHOOLS,
    ),
    "a class is its teachers' and its tenant's": Rule(
        {
            "petitbleu_junior_guard.adapters.schools": [
                ('row is None or row["tenant_id"] != manager.actor.tenant_id', "row is None"),
                ("if manager.rank is Rank.TEACHER and manager.actor.party not in _teachers(found):", "if False:"),
            ]
        },
        frozenset({"test_nobody_else_has_a_hand_in_a_class"}),
        SCHOOLS,
    ),
    "who teaches is no teacher's to say": Rule(
        {"petitbleu_junior_guard.adapters.schools": [("if manager.rank is Rank.TEACHER and _teachers(members) != _teachers(before):", "if False:")]},
        frozenset({"test_a_teacher_keeps_the_children_and_not_the_teachers"}),
        SCHOOLS,
    ),
    "who may be somebody else changes no class": Rule(
        {"petitbleu_junior_guard.service.schools": [("if manager.actor.cooling_until > self._clock().timestamp():", "if False:")]},
        frozenset({"test_who_may_be_somebody_else_changes_no_class_but_ends_one"}),
        SCHOOLS,
    ),
}  # fmt: skip


def test_each_attack_is_on_a_rule_that_is_switched_off() -> None:
    text = ATTACKS.read_text(encoding="utf-8")
    tests = set(re.findall(r"async def (test_\w+)\(", text)) - {"test_a_friends_own_mail_comes"}
    attacked = {one for rule in RULES.values() for one in rule.attacks if rule.file == ATTACKS}
    assert tests == {one.partition("[")[0] for one in attacked}
    assert set(FORGED) - {one.partition("[")[2].removesuffix("]") for one in attacked} <= UNATTACKED


UNATTACKED = {"no from"}
"""It names nobody: there is no rule to switch off, and it does no harm."""


@pytest.mark.skipif(
    not os.environ.get("PETITBLEU_SOAK"), reason="NOT TRIED: a stack for each rule is part of `make soak`"
)
@pytest.mark.parametrize("name", RULES)
def test_without_a_rule_its_attacks_come_through(name: str) -> None:
    rule = RULES[name]
    environment = {**os.environ, WITHOUT: json.dumps(rule.changes)}
    for worker in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS"):
        environment.pop(worker, None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "-rfE", "--tb=no", str(rule.file)],
        env=environment, capture_output=True, text=True, check=False, timeout=900, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    failed = set(re.findall(r"^FAILED \S*::(test_\w+(?:\[.*?\])?)(?: - .*)?$", done.stdout, re.MULTILINE))
    assert "ERROR" not in done.stdout, done.stdout[-3000:]
    assert rule.attacks <= failed, (sorted(rule.attacks - failed), done.stdout[-3000:])
