"""The opening of a push stream, for both of its forms."""

from __future__ import annotations

import grpc

from petitbleu_gateway.errors import Problem, limit_problem
from petitbleu_gateway.http.credentials import credential_of
from petitbleu_gateway.http.exchange import Exchange
from petitbleu_gateway.ports import Identity
from petitbleu_gateway.service.push import PushHub, Stream, TooManyStreamsError
from petitbleu_gateway.service.push_upkeep import PushUpkeep
from petitbleu_gateway.service.shared_accounts import SharedAccounts


class PushOpening:
    """Opens streams for people who were identified.

    Args:
        hub: All streams.
        upkeep: Looks after them.
        shared: What others share with people.
    """

    def __init__(self, hub: PushHub, upkeep: PushUpkeep, shared: SharedAccounts) -> None:
        self.hub = hub
        self._shared = shared
        self._upkeep = upkeep

    async def open(self, kind: str, exchange: Exchange, who: Identity) -> Stream:
        """Return the stream of a request, which ends when its connection does; `hub.close` takes it back.

        Raises:
            Problem: 429 when the account has too many, 503.
        """
        credential = credential_of(exchange)
        if credential is None:
            raise Problem(401)
        connection = exchange.connection
        try:
            stream = await self.hub.open(kind, who, credential, exchange.client_ip)
            await self._follow(stream, who)
        except TooManyStreamsError as error:
            if error.busy:
                raise Problem(503, detail="The server is busy.", headers=((b"retry-after", b"30"),)) from None
            problem = limit_problem("maxPushStreams", "Too many push streams of this account at once.", 429)
            problem.headers = ((b"retry-after", b"30"),)
            raise problem from None
        except grpc.aio.AioRpcError:
            raise Problem(503, detail="The mail store does not answer.", headers=((b"retry-after", b"2"),)) from None
        connection.hold(lambda: stream.end("gone"))
        self._upkeep.begin(stream)
        if connection.closing:
            stream.end("gone")
        return stream

    async def _follow(self, stream: Stream, who: Identity) -> None:
        """Let a stream tell of accounts that others share too (RFC 9670 §1.4: of those with anything subscribed to)."""
        try:
            shared = await self._shared.of(who)
            await self.hub.follow(stream, [one.account_id for one in shared if one.subscribed], from_now=True)
        except BaseException:
            self.hub.close(stream)
            raise
