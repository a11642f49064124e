"""The JMAP session object, and the bearer sessions of people (docs/rest.md)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.credentials import check_page, device_of, identify, session_cookie
from petitbleu_gateway.http.exchange import NO_STORE, Exchange, OctetBudget, encode_json
from petitbleu_gateway.jmap import ijson
from petitbleu_gateway.jmap.session import SessionLimits, session_object
from petitbleu_gateway.ports import Accounts, AwayError, LimitedError, RefusedError
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.shared_accounts import SharedAccounts

_MAX_BODY: Final = 4096
_BODY_SECONDS: Final = 15.0


class NewSessionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says of the session that it wants."""

    label: Annotated[str, Meta(max_length=100)] = ""
    cookie: bool = False


async def give_session(
    exchange: Exchange, accounts: Accounts, principal: str, label: str, *, in_cookie: bool, told: Mapping[str, str]
) -> None:
    """Make a bearer session and answer with it, and with what else is told.

    Raises:
        Problem: 403, 429, 503.
    """
    device, kept = device_of(exchange) if in_cookie else (b"", None)
    try:
        made = await accounts.create_session(principal, label, exchange.client_ip, device)
    except RefusedError:
        raise Problem(403, detail="The account may not have sessions.") from None
    except LimitedError:
        raise Problem(429, detail="Too many sessions.", headers=((b"retry-after", b"30"),)) from None
    except AwayError:
        raise Problem(503, detail="The directory does not answer.", headers=((b"retry-after", b"2"),)) from None
    body: dict[str, str | int] = {"sessionId": str(made.session_id), "expiresAt": made.expires_at, **told}
    if not in_cookie:
        body["token"] = made.token
        await exchange.answer(201, encode_json(body), headers=(NO_STORE,))
        return
    cookie = session_cookie(made.token, max(1, made.expires_at - int(time.time())))
    await exchange.answer(201, encode_json(body), headers=(NO_STORE, *([kept] if kept else []), cookie))


class SessionDoors:
    """Sessions.

    Args:
        authentication: Who checks credentials.
        accounts: Who keeps bearer sessions.
        limits: For the session object.
        public_url: Origin that clients use; their Host header when empty.
        budget: Octets in flight.
        shared: What others share with people.
    """

    def __init__(
        self, authentication: Authentication, accounts: Accounts, limits: SessionLimits, public_url: str,
        budget: OctetBudget, shared: SharedAccounts,
    ) -> None:  # fmt: skip
        self._authentication = authentication
        self._accounts = accounts
        self._limits = limits
        self._public_url = public_url
        self._budget = budget
        self._shared = shared

    async def describe(self, exchange: Exchange) -> None:
        """Give the session object (RFC 8620 §2); it is not to be cached there, and differs by credential."""
        who = await identify(exchange, self._authentication)
        shared = await self._shared.of(who)
        body = encode_json(session_object(who, exchange.origin(self._public_url), self._limits, shared))
        await exchange.answer(200, body, headers=(NO_STORE, (b"vary", b"authorization, cookie")))

    async def create(self, exchange: Exchange) -> None:
        """Make a bearer session for whoever shows a password or an app password."""
        who = await identify(exchange, self._authentication)
        if who.session_id:
            raise Problem(403, detail="A session cannot make another session.")
        raw = await exchange.body(_MAX_BODY, _BODY_SECONDS, self._budget)
        try:
            given = msgspec.convert(ijson.decode(raw) if raw else {}, NewSessionRequest)
        except (ijson.NotIJsonError, msgspec.ValidationError):
            raise Problem(400, detail="The body is not as documented.") from None
        finally:
            self._budget.give_back(len(raw))
        if given.cookie:
            check_page(exchange)
        await give_session(exchange, self._accounts, who.principal, given.label, in_cookie=given.cookie, told={})

    async def revoke(self, exchange: Exchange) -> None:
        """End the bearer session that makes the request."""
        who = await identify(exchange, self._authentication)
        if not who.session_id:
            raise Problem(400, detail="The request is not made with a session's token.")
        try:
            await self._accounts.revoke_session(who.principal, who.session_id)
        except (RefusedError, LimitedError, AwayError):
            raise Problem(503, detail="The directory does not answer.", headers=((b"retry-after", b"2"),)) from None
        self._authentication.forget_accounts([who.account_id])
        await exchange.empty(204, (NO_STORE, session_cookie("", 0)))
