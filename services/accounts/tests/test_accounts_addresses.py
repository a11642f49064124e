"""Addresses in the form for look-up, and where they lead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_accounts.domain.addresses import BARE_POSTMASTER, hosted_domain, retired_digest, wanted
from petitbleu_accounts.domain.people import Role, State, is_language, is_name, roles_for
from petitbleu_accounts.domain.resolution import AddressStatus, Entry, HostedDomain, reached, resolution

DOMAIN = HostedDomain(9, 3, "one.test", None)


def account(account_id: int, tenant_id: int = 3, state: int = State.ACTIVE, *, guarded: bool = False) -> Entry:
    return Entry(f"{account_id}@one.test", 9, None, account_id, tenant_id, state, guarded)


def alias(alias_id: int) -> Entry:
    return Entry(f"alias{alias_id}@one.test", 9, alias_id, None, None, None, None)


@given(st.text(max_size=120))
def test_any_text_is_an_address_or_none_and_looking_up_again_changes_nothing(text: str) -> None:
    found = wanted(text)
    if found is not None and found.domain:
        assert found.base.endswith(f"@{found.domain}")
        assert found.address == f"{found.local}@{found.domain}"
        again = wanted(found.address)
        # what needs quoting is no dot-string and is not typed this way
        assert again is None or again.address == found.address


@given(st.from_regex(r"[a-z0-9.]{1,10}(\+[a-z0-9]{0,5})?@[a-z]{1,8}\.test", fullmatch=True))
def test_case_never_matters_and_details_split(text: str) -> None:
    lower, upper = wanted(text), wanted(text.upper())
    assert lower == upper
    if lower is not None and lower.detail:
        assert lower.base == f"{text.partition('+')[0]}@{lower.domain}"


def test_the_bare_postmaster_is_known_and_nothing_else_without_a_domain() -> None:
    assert wanted("PostMaster") is BARE_POSTMASTER
    assert wanted("abuse") is None


@given(st.text(max_size=80))
def test_any_text_is_a_hosted_domain_or_none(text: str) -> None:
    found = hosted_domain(text)
    assert found is None or (found.isascii() and hosted_domain(found) == found)


def test_domains_are_a_labels_and_literals_are_not_hosted() -> None:
    assert hosted_domain(" Bücher.Example. ") == "xn--bcher-kva.example"
    assert hosted_domain("[127.0.0.1]") is None
    assert hosted_domain("") is None


def test_retired_addresses_keep_a_digest_only() -> None:
    assert len(retired_digest("a@one.test")) == 32
    assert retired_digest("a@one.test") != retired_digest("b@one.test")


@given(
    st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 15), max_size=6), max_size=8),
    st.integers(0, 7),
)
def test_any_web_of_aliases_ends_and_gives_each_account_once(web: dict[int, list[int]], start: int) -> None:
    members = {
        alias_id: [alias(number) if number < 8 else account(number) for number in numbers]
        for alias_id, numbers in web.items()
    }
    ids = [entry.account_id for entry in reached(alias(start), members)]
    assert len(ids) == len(set(ids))
    assert all(number is not None and number >= 8 for number in ids)


def test_what_lies_deeper_than_five_aliases_is_left_out() -> None:
    members = {n: [alias(n + 1), account(100 + n)] for n in range(8)}
    assert sorted(entry.account_id or 0 for entry in reached(alias(0), members)) == [100, 101, 102, 103, 104]


@pytest.mark.parametrize(
    ("entries", "status", "ids"),
    [
        ([account(1)], AddressStatus.LOCAL, [1]),
        ([account(1, state=State.DISABLED)], AddressStatus.DISABLED, []),
        ([account(1, state=State.DISABLED), account(2)], AddressStatus.LOCAL, [2]),
        ([account(1, state=State.CLOSING)], AddressStatus.UNKNOWN, []),
        ([account(1, state=State.PENDING)], AddressStatus.UNKNOWN, []),
        ([account(1, tenant_id=4)], AddressStatus.UNKNOWN, []),
        ([], AddressStatus.UNKNOWN, []),
    ],
)
def test_only_active_accounts_of_the_same_tenant_are_reached(
    entries: list[Entry], status: AddressStatus, ids: list[int]
) -> None:
    found = resolution(DOMAIN, entries, "news", 5)
    assert found.status is status
    assert [target.account_id for target in found.targets] == ids
    assert all((target.detail, target.via_id) == ("news", 5) for target in found.targets)


def test_roles_that_do_not_go_together_are_refused() -> None:
    assert roles_for(guarded=False, extra=(4,)) == (Role.PERSON, Role.TENANT_ADMIN)
    assert roles_for(guarded=True, extra=()) == (Role.CHILD,)
    assert roles_for(guarded=True, extra=(4,)) is None
    assert roles_for(guarded=False, extra=(2,)) is None
    assert roles_for(guarded=False, extra=(99,)) is None
    assert roles_for(guarded=False, extra=(5,)) == (Role.PERSON, Role.TEACHER)
    assert roles_for(guarded=True, extra=(5,)) is None  # a child teaches nobody
    assert Role.TENANT_ADMIN.claim == "tenant-admin"
    assert Role.TEACHER.claim == "teacher"


def test_names_and_languages() -> None:
    assert all(map(is_name, ("demo", "a", "a-b.c", "x" * 64)))
    assert not any(map(is_name, ("", "-a", "a b", "x" * 65, "é")))
    assert all(map(is_language, ("fr", "pt-BR", "zh-Hant-TW")))
    assert not any(map(is_language, ("", "f", "fr_FR", "français")))
