"""The cache is bounded, forgets what changed, and learns nothing from an answer that a change overtook."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from services.delivery.tests.delivery_fakes import Clock

from petitbleu_delivery.domain.model import Route, Status, Target
from petitbleu_delivery.service.cache import RouteCache


def route(*accounts: int, domain: int = 1, indirect: bool = False) -> Route:
    return Route(Status.LOCAL, tuple(Target(account, False) for account in accounts), domain, indirect)


def learn(cache: RouteCache, address: str, known: Route) -> None:
    cache.end(cache.begin(), [(address, known)])


def test_an_answer_is_believed_for_its_seconds_and_no_longer() -> None:
    clock = Clock()
    cache = RouteCache(100, 60, clock)
    learn(cache, "a@x", route(1))
    clock.now += 59.9
    assert cache.get_all(["a@x"]) == {"a@x": route(1)}
    clock.now += 0.2
    assert cache.get_all(["a@x"]) == {}


def test_accounts_and_domains_are_forgotten_apart() -> None:
    cache = RouteCache(100, 60)
    learn(cache, "a@x", route(1, domain=1))
    learn(cache, "b@y", route(2, domain=2))
    learn(cache, "c@z", route(3, domain=3))
    cache.forget(account_ids=[2])
    assert set(cache.get_all(["a@x", "b@y", "c@z"])) == {"a@x", "c@z"}
    cache.forget(domain_ids=[3])
    assert set(cache.get_all(["a@x", "b@y", "c@z"])) == {"a@x"}


def test_a_change_in_any_domain_forgets_what_an_alias_answered() -> None:
    cache = RouteCache(100, 60)
    learn(cache, "group@x", route(1, 2, domain=1, indirect=True))
    learn(cache, "a@x", route(1, domain=1))
    cache.forget(domain_ids=[77])
    assert set(cache.get_all(["group@x", "a@x"])) == {"a@x"}


def test_what_changes_while_a_question_is_under_way_is_not_remembered() -> None:
    cache = RouteCache(100, 60)
    flight = cache.begin()
    cache.forget(account_ids=[1], domain_ids=[5])
    answers = [("a@x", route(1)), ("b@x", route(2)), ("c@y", route(3, domain=5)), ("g@x", route(4, indirect=True))]
    cache.end(flight, answers)
    assert set(cache.get_all(["a@x", "b@x", "c@y", "g@x"])) == {"b@x"}
    flight = cache.begin()
    cache.clear()
    cache.end(flight, answers)
    assert len(cache) == 0


def test_only_what_leads_somewhere_is_remembered() -> None:
    cache = RouteCache(100, 60)
    learn(cache, "a@x", Route(Status.UNKNOWN, (), 1))
    learn(cache, "b@x", Route(Status.LOCAL, (), 1))
    assert len(cache) == 0


def test_zero_seconds_remember_nothing() -> None:
    cache = RouteCache(100, 0)
    learn(cache, "a@x", route(1))
    assert len(cache) == 0


OPERATION = st.one_of(
    st.tuples(
        st.just("learn"), st.integers(0, 30), st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True),
        st.integers(1, 4), st.booleans(),
    ),
    st.tuples(st.just("forget"), st.lists(st.integers(1, 9)), st.lists(st.integers(1, 4))),
    st.tuples(st.just("clear")),
)  # fmt: skip


@given(st.lists(OPERATION, max_size=80))
def test_the_bound_holds_and_nothing_forgotten_stays(operations: list[tuple]) -> None:  # type: ignore[type-arg]
    cache = RouteCache(25, 60, Clock())
    for operation in operations:
        match operation:
            case ("learn", name, accounts, domain, indirect):
                learn(cache, f"a{name}@x", route(*accounts, domain=domain, indirect=indirect))
            case ("forget", accounts, domains):
                cache.forget(accounts, domains)
                for known in cache.get_all([f"a{name}@x" for name in range(31)]).values():
                    assert not {target.account_id for target in known.targets} & set(accounts)
                    assert known.domain_id not in domains
            case _:
                cache.clear()
        assert cache.weight <= 25
        assert cache.weight == sum(
            1 + len(known.targets) for known in cache.get_all([f"a{name}@x" for name in range(31)]).values()
        )
    cache.clear()
    assert not cache._by_account and not cache._by_domain and not cache._indirect
