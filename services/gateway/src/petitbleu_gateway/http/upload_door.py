"""Uploads (RFC 8620 §6.1): streamed to store as they come, so that an upload of any size takes no memory here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

import grpc

from petitbleu_gateway.errors import LIMIT_TYPE, Fault, Problem, fault_of
from petitbleu_gateway.http.account import in_account
from petitbleu_gateway.http.credentials import identify
from petitbleu_gateway.http.exchange import NO_STORE, Exchange, encode_json, upload_too_large
from petitbleu_gateway.http.jmap_doors import Places
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.session import UPLOAD_PATH, SessionLimits
from petitbleu_gateway.ports import MailStore
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.shared_accounts import SharedAccounts

_DEFAULT_TYPE: Final = "application/octet-stream"
# RFC 9110 §8.3.1; what is answered is what came, so it must be a media type and nothing else
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:[ \t]*;[\x20-\x7e]{1,300})?")


def _busy() -> Problem:
    # the octets that come with it are not waited for
    return Problem(
        429, LIMIT_TYPE, "Too many uploads of this account at once.", headers=((b"connection", b"close"),),
        limit="maxConcurrentUpload",
    )  # fmt: skip


class UploadDoor:
    """The upload endpoint.

    Args:
        authentication: Who checks credentials.
        store: The person's mail.
        limits: Of the session object.
        shared: What others share with people.
        seconds: Time for a whole upload.
        stall_seconds: Time for its next octets.
    """

    def __init__(
        self, authentication: Authentication, store: MailStore, limits: SessionLimits, shared: SharedAccounts, *,
        seconds: float, stall_seconds: float,
    ) -> None:  # fmt: skip
        self._authentication = authentication
        self._store = store
        self._shared = shared
        self._limit = limits.max_size_upload
        self._seconds = seconds
        self._stall_seconds = stall_seconds
        self._places = Places(limits.max_concurrent_upload)

    async def upload(self, exchange: Exchange) -> None:
        """Keep the body of the request and name it (RFC 8620 §6.1)."""
        who = await identify(exchange, self._authentication)
        account = exchange.path.removeprefix(UPLOAD_PATH).removesuffix("/")
        # an upload is the person's own, whichever account it is for
        who = await in_account(who, account, self._shared)
        length = exchange.header(b"content-length")
        if length.isdigit() and int(length[:20]) > self._limit:
            raise upload_too_large(self._limit)
        given = exchange.header(b"content-type").strip()
        with self._places.take(who.person_id, _busy):
            try:
                kept = await self._store.upload(who, self._pieces(exchange))
            except grpc.aio.AioRpcError as error:
                raise _problem(error) from None
        answer = {
            "accountId": account,
            "blobId": ids.upload_blob_id(kept.upload_id),
            "type": given if _TYPE.fullmatch(given) else _DEFAULT_TYPE,
            "size": kept.size,
        }
        await exchange.answer(201, encode_json(answer), headers=(NO_STORE,))

    def _pieces(self, exchange: Exchange) -> AsyncIterator[bytes]:
        return exchange.pieces(self._limit, self._seconds, self._stall_seconds)


def _problem(error: grpc.aio.AioRpcError) -> Problem:
    if error.code() == grpc.StatusCode.NOT_FOUND:
        return Problem(404, headers=((b"connection", b"close"),))
    if fault_of(error) is Fault.SERVER_UNAVAILABLE:
        return Problem(
            503, detail="Uploads cannot be kept now.", headers=((b"retry-after", b"5"), (b"connection", b"close"))
        )
    return Problem(500, headers=((b"connection", b"close"),))
