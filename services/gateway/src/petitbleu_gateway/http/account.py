"""The account that a URL names: the person's own, or another's that shares something with them."""

from __future__ import annotations

import grpc

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.ports import AwayError, Identity
from petitbleu_gateway.service.shared_accounts import SharedAccounts, acting


async def in_account(who: Identity, account: str, shared: SharedAccounts) -> Identity:
    """Return who a person is in an account. What they may do there store decides.

    Raises:
        Problem: 404 when they have no part in it; 503.
    """
    number = ids.account_number(account)
    if number == who.account_id:
        return who
    try:
        there = await shared.anew(who) if number is not None else ()
    except (grpc.aio.AioRpcError, AwayError):
        raise Problem(503, headers=((b"retry-after", b"2"),)) from None
    if all(one.account_id != number for one in there) or number is None:
        raise Problem(404, headers=((b"connection", b"close"),))
    return acting(who, number)
