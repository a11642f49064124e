"""Messages made ready to be read for their words: octets opened, attachments read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
import zstandard

from petitbleu_kit.ids import BlobId
from petitbleu_kit.logs import get_logger
from petitbleu_mail.structure import MetaError, ParsedMessage, decode_meta
from petitbleu_store.adapters.extraction.pool import ExtractionPool
from petitbleu_store.adapters.mail_reader.requests import Mail
from petitbleu_store.adapters.mail_reader.texts import attached, content_of
from petitbleu_store.core import Core
from petitbleu_store.domain.account_cipher import AccountCipher, SealBrokenError
from petitbleu_store.domain.content import Content, open_content
from petitbleu_store.service.account_book import KnownAccount

_log = get_logger(__name__)
# Octets of messages in memory at once; a larger one comes alone.
GROUP_OCTETS: Final = 4 << 20
# For all attachments of one message; those that are not read by then have no text.
_ATTACHMENTS_SECONDS: Final = 60.0
_MOST_TEXT: Final = 64 << 20
_ENCODER: Final = msgspec.msgpack.Encoder()
_TEXTS: Final = msgspec.msgpack.Decoder(list[str])

WHOLE: Final = 0
HEADER_ONLY: Final = 1
UNREAD: Final = 2


@dataclass(slots=True)
class Loaded:
    """A message to read.

    Attributes:
        message_id: Which.
        received_ms: When it came.
        mail: What is read, None when not even its record opens.
        attached: Texts of its attachments, sealed, when there are any.
    """

    message_id: int
    received_ms: int
    mail: Mail | None
    attached: bytes | None

    @property
    def state(self) -> int:
        """What there is of it."""
        if self.mail is None:
            return UNREAD
        return HEADER_ONLY if self.mail.blob is None else WHOLE


def groups(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """Cut rows into groups of which the octets fit in memory together, in order."""
    group: list[Any] = []
    octets = 0
    for row in rows:
        if group and octets + row["size"] > GROUP_OCTETS:
            yield group
            group, octets = [], 0
        group.append(row)
        octets += row["size"]
    if group:
        yield group


class MailLoader:
    """Opens messages for a reader.

    Args:
        core: The shared parts.
        extraction: Reads attachments, under limits.
    """

    def __init__(self, core: Core, extraction: ExtractionPool) -> None:
        self._core = core
        self._extraction = extraction

    async def rest(self) -> None:
        """End processes that nobody needed for a while."""
        await self._extraction.rest()

    async def load(self, account: KnownAccount, rows: Sequence[Any]) -> list[Loaded]:
        """Open messages from their rows (search_rows), which fit in memory together.

        Raises:
            ObjectsAwayError: S3 does not answer.
            OSError: attachments cannot be read for want of a process.
        """
        contents = {row["message_id"]: _opened(account, row) for row in rows}
        wanted = [
            (BlobId(row["blob_id"]), content.blob_key)
            for row in rows
            if (content := contents[row["message_id"]]) is not None
        ]
        blobs = await self._core.bodies.read_many(self._core.pool, wanted)
        return [
            await self._loaded(account, row, contents[row["message_id"]], blobs.get(row["blob_id"])) for row in rows
        ]

    async def _loaded(self, account: KnownAccount, row: Any, content: Content | None, blob: bytes | None) -> Loaded:
        found = Loaded(row["message_id"], row["received_ms"], None, row["attached"])
        if content is None:
            return found
        blob = None if blob is None else content.body_of(blob)
        try:
            record = decode_meta(content.meta)
        except MetaError:
            return found
        texts: list[str] = []
        if row["state"] is None and blob is not None:
            texts = await self._read(record, blob)
            if texts:
                found.attached = seal_texts(account.cipher, row["blob_id"], texts)
        elif row["attached"] is not None:
            texts = open_texts(account.cipher, row["blob_id"], row["attached"])
        found.mail = Mail(content.meta, content.prefix, blob, texts)
        return found

    async def _read(self, record: ParsedMessage, blob: bytes) -> list[str]:
        """Read the attachments of a message that need it; those that cannot be read have no text."""
        texts: list[str] = []
        end = time.monotonic() + _ATTACHMENTS_SECONDS
        for one in attached(record.root):
            if time.monotonic() > end:
                break
            octets = await asyncio.to_thread(content_of, blob, one.part)
            texts.append((await self._extraction.extract(one.kind, octets, one.part.charset)).text)
        return texts if any(texts) else []


def seal_texts(cipher: AccountCipher, blob_id: UUID, texts: list[str]) -> bytes:
    """Seal the texts of a message's attachments."""
    return cipher.seal(zstandard.compress(_ENCODER.encode(texts), 3), b"attached" + blob_id.bytes)


def open_texts(cipher: AccountCipher, blob_id: UUID, sealed: bytes) -> list[str]:
    """Open what `seal_texts` made; nothing when it does not open."""
    try:
        plain = cipher.open(sealed, b"attached" + blob_id.bytes)
        return _TEXTS.decode(zstandard.decompress(plain, max_output_size=_MOST_TEXT))
    except (SealBrokenError, zstandard.ZstdError, msgspec.MsgspecError):
        _log.error("texts of attachments do not open", blob_id=str(blob_id))
        return []


def _opened(account: KnownAccount, row: Any) -> Content | None:
    try:
        return open_content(account.cipher, row["blob_id"], row["sealed"])
    except SealBrokenError:
        _log.error("message row does not open", account_id=account.account_id, message_id=row["message_id"])
        return None
