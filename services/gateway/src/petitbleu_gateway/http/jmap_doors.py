"""The JMAP API endpoint (RFC 8620 §3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

from msgspec import UNSET

from petitbleu_gateway.errors import Problem, limit_problem
from petitbleu_gateway.http.credentials import identify
from petitbleu_gateway.http.exchange import NO_STORE, Exchange, OctetBudget, encode_json
from petitbleu_gateway.jmap.calls import Context, MethodLimits, Registry, run_calls
from petitbleu_gateway.jmap.envelope import Request, read_request
from petitbleu_gateway.jmap.ijson import without_noncharacters
from petitbleu_gateway.jmap.session import SessionLimits, session_state
from petitbleu_gateway.ports import Identity, MailStore, People
from petitbleu_gateway.service.authentication import Authentication


class Places:
    """At most so many things at once of an account, so that one cannot take what others need."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[int] = Counter()

    def take(self, account_id: int, problem: Callable[[], Problem]) -> Place:
        """Take a place for the time of a block, or raise the problem."""
        if self._taken[account_id] >= self._limit:
            raise problem()
        self._taken[account_id] += 1
        return Place(self._taken, account_id)


class Place:
    """A place that is taken, given back at the end of its block."""

    __slots__ = ("_account_id", "_taken")

    def __init__(self, taken: Counter[int], account_id: int) -> None:
        self._taken = taken
        self._account_id = account_id

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._taken[self._account_id] -= 1
        if not self._taken[self._account_id]:
            del self._taken[self._account_id]


def _busy() -> Problem:
    return limit_problem("maxConcurrentRequests", "Too many requests of this account at once.", 429)


class JmapDoors:
    """The API endpoint.

    Args:
        authentication: Who checks credentials.
        store: The person's mail.
        people: What accounts keeps of the person.
        registry: The methods.
        limits: Of the session object.
        method_limits: Of the methods.
        body_seconds: Time for a request's body.
        budget: Octets in flight.
    """

    def __init__(
        self, authentication: Authentication, store: MailStore, people: People, registry: Registry, limits: SessionLimits,
        method_limits: MethodLimits, body_seconds: float, budget: OctetBudget,
    ) -> None:  # fmt: skip
        self._authentication = authentication
        self._store = store
        self._people = people
        self._registry = registry
        self._limits = limits
        self._method_limits = method_limits
        self._body_seconds = body_seconds
        self._budget = budget
        self._places = Places(limits.max_concurrent_requests)

    async def api(self, exchange: Exchange) -> None:
        """Run a Request and answer with its Response (RFC 8620 §3.3, §3.4)."""
        who = await identify(exchange, self._authentication)
        with self.place(who.account_id):
            raw = await exchange.body(self._limits.max_size_request, self._body_seconds, self._budget)
            held = len(raw)
            try:
                request = read_request(exchange.header(b"content-type"), raw, self._limits.max_calls_in_request)
                del raw
                data = without_noncharacters(encode_json(await self.respond(who, request)))
            finally:
                self._budget.give_back(held)
            # in the account's place: an answer is held until its client has read it
            await exchange.answer(200, data, headers=(NO_STORE,))

    def place(self, account_id: int) -> Place:
        """Take a place among the account's requests.

        Raises:
            Problem: limit with maxConcurrentRequests.
        """
        return self._places.take(account_id, _busy)

    async def respond(self, who: Identity, request: Request) -> dict[str, Any]:
        """Run a Request and return its Response (RFC 8620 §3.4)."""
        created_ids = {} if request.created_ids is UNSET else request.created_ids
        context = Context(
            who, self._store, self._method_limits, self._people, dict(created_ids), reserve=self._budget.has_taken
        )
        try:
            responses = await run_calls(self._registry, request, context)
        finally:
            self._budget.give_back(context.held)
        result: dict[str, Any] = {"methodResponses": responses, "sessionState": session_state(who, self._limits)}
        if request.created_ids is not UNSET:  # RFC 8620 §3.4
            result["createdIds"] = context.created_ids
        return result
