"""The JMAP API endpoint (RFC 8620 §3)."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

from msgspec import UNSET

from petitbleu_gateway.errors import Problem, limit_problem
from petitbleu_gateway.http.credentials import identify
from petitbleu_gateway.http.exchange import NO_STORE, Exchange, OctetBudget, encode_json
from petitbleu_gateway.jmap.calls import Context, MethodLimits, Registry, run_calls
from petitbleu_gateway.jmap.envelope import Request, read_request
from petitbleu_gateway.jmap.ijson import without_noncharacters
from petitbleu_gateway.jmap.session import SessionLimits, capabilities_of, session_state
from petitbleu_gateway.ports import Identity, MailStore, People
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.fairness import Pace, TooFastError, Turns
from petitbleu_gateway.service.shared_accounts import SharedAccounts


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
    return limit_problem("maxConcurrentRequests", "Too many requests of this account at once.", 429, seconds=1)


_CALM_SECONDS: Final = 0.5
_CALMED: Final = 16
_OCTETS_A_TOKEN: Final = 64 << 10
"""An answer of so many octets costs its account as much as one more call."""


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
        turns: Whose request is worked on.
        pace: How many calls an account makes.
        shared: What others share with people.
    """

    def __init__(
        self, authentication: Authentication, store: MailStore, people: People, registry: Registry, limits: SessionLimits,
        method_limits: MethodLimits, body_seconds: float, budget: OctetBudget, turns: Turns, pace: Pace,
        shared: SharedAccounts,
    ) -> None:  # fmt: skip
        self._authentication = authentication
        self._store = store
        self._people = people
        self._registry = registry
        self._limits = limits
        self.capabilities = capabilities_of(limits)
        self._method_limits = method_limits
        self._body_seconds = body_seconds
        self._budget = budget
        self._turns = turns
        self._pace = pace
        self._calmed = Places(_CALMED)
        self._shared = shared
        self._places = Places(limits.max_concurrent_requests)

    async def api(self, exchange: Exchange) -> None:
        """Run a Request and answer with its Response (RFC 8620 §3.3, §3.4)."""
        who = await identify(exchange, self._authentication)
        try:
            await self._run(exchange, who)
        except Problem as problem:
            if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
                # who comes again at once would cost as much as with an answer
                with self._calmed.take(who.account_id, _busy):
                    await asyncio.sleep(_CALM_SECONDS)
            raise

    async def _run(self, exchange: Exchange, who: Identity) -> None:
        octets = self._budget.of(who.account_id)
        with self.place(who.account_id):
            raw = await exchange.body(self._limits.max_size_request, self._body_seconds, octets)
            held = len(raw)
            try:
                request = read_request(
                    exchange.header(b"content-type"), raw, self._limits.max_calls_in_request, self.capabilities
                )
                del raw
                answer, answer_octets = await self.respond(who, request)
                held += answer_octets
                data = without_noncharacters(encode_json(answer))
                del answer
                # in the account's place and share: an answer is held until its client has read it
                await exchange.answer(200, data, headers=(NO_STORE,))
            finally:
                octets.give_back(held)

    def place(self, account_id: int) -> Place:
        """Take a place among the account's requests.

        Raises:
            Problem: limit with maxConcurrentRequests.
        """
        return self._places.take(account_id, _busy)

    async def respond(self, who: Identity, request: Request) -> tuple[dict[str, Any], int]:
        """Run a Request in its account's turn and at its pace; return its Response (RFC 8620 §3.4).

        Also return the octets of the account's share that the Response has, which the caller gives back.

        Raises:
            Problem: limit with requestRate.
        """
        account_id = who.account_id
        try:
            await self._pace.keep(account_id, max(1, len(request.method_calls)))
        except TooFastError as error:
            raise limit_problem(
                "requestRate", "This account makes too many calls.", 429, seconds=math.ceil(error.seconds)
            ) from None
        created_ids = {} if request.created_ids is UNSET else request.created_ids
        octets = self._budget.of(account_id)
        context = Context(
            who, self._store, self._method_limits, self._people, dict(created_ids), reserve=octets.has_taken,
            shared=self._shared,
            session_limits=self._limits,
        )  # fmt: skip
        try:
            async with self._turns.turn(account_id):
                responses = await run_calls(self._registry, request, context)
                state = session_state(who, self._limits, await self._shared.of(who))
        except BaseException:
            octets.give_back(context.held + context.kept)
            raise
        octets.give_back(context.held)
        self._pace.charge(account_id, context.answered / _OCTETS_A_TOKEN)
        result: dict[str, Any] = {"methodResponses": responses, "sessionState": state}
        if request.created_ids is not UNSET:  # RFC 8620 §3.4
            result["createdIds"] = context.created_ids
        return result, context.kept
