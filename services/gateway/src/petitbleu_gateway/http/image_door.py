"""The image proxy (docs/rest.md): images from elsewhere, for those who asked for them, without telling the other side who asks.

Nothing of the person goes along: no address, no cookie, no referrer, no credential. Only pictures come back, told by their octets.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import parse_qs

from prometheus_client import Counter

from petitbleu_gateway.domain.image_urls import IMAGE_PATH, ImageKeys
from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.exchange import Exchange, Header
from petitbleu_gateway.http.jmap_doors import Places
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.service.fetch_limits import Buckets
from petitbleu_kit.egress import Egress, EgressError
from petitbleu_mail.image_types import HEAD, picture_type
from petitbleu_mail.safe_html import MAX_URL

_NAME: Final = re.compile(r"(a[a-z2-7]{1,13})/([1-9][0-9]{0,11})/([A-Za-z0-9_-]{1,64})")
_ACCEPT: Final = (b"accept", b"image/avif,image/webp,image/png,image/jpeg,image/gif,image/*;q=0.5")
_OK: Final = 200
_FIXED: Final[tuple[Header, ...]] = (
    # opened as a page of its own it can do nothing, and it may stand in a frame that has no origin
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"content-disposition", b"inline"),
)
_fetched = Counter("petitbleu_gateway_images_total", "Images fetched from elsewhere", ["outcome"])


class ImageDoor:
    """The proxy.

    Args:
        egress: Goes out.
        keys: Who signed the addresses.
        buckets: How often an account may.
        at_once: Images of an account at once.
        most_octets: Of an image.
        seconds: For an image, until its last octet has left us.
        http: Whether what comes without TLS is fetched too.
        clock: Unix seconds.
    """

    def __init__(
        self, egress: Egress, keys: ImageKeys, buckets: Buckets, *, at_once: int, most_octets: int, seconds: float,
        http: bool = True, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._egress = egress
        self._keys = keys
        self._buckets = buckets
        self._places = Places(at_once)
        self._most = most_octets
        self._seconds = seconds
        self._http = http
        self._clock = clock

    async def image(self, exchange: Exchange) -> None:
        """Answer with the image at an address that a rendering signed."""
        account_id, left, url = self._signed(exchange)
        if not self._buckets.has_taken(account_id):
            _fetched.labels(outcome="limited").inc()
            raise _busy()
        with self._places.take(account_id, _busy):
            try:
                await self._fetch(exchange, url, left)
            except EgressError as error:
                _fetched.labels(outcome=error.refusal.value).inc()
                if exchange.status:
                    raise ConnectionError("the image ended too early") from None
                # in one way whatever the reason: who reads it must learn nothing of what is where
                raise Problem(404, detail="The image cannot be fetched.") from None

    def _signed(self, exchange: Exchange) -> tuple[int, int, str]:
        """Return the account, the seconds that are left, and the address."""
        found = _NAME.fullmatch(exchange.path.removeprefix(IMAGE_PATH))
        try:
            given = parse_qs(exchange.query.decode("latin-1"), strict_parsing=True, max_num_fields=1)
        except ValueError:
            raise Problem(404) from None
        urls = given.get("url", [])
        if found is None or len(urls) != 1 or len(urls[0]) > MAX_URL:
            raise Problem(404)
        account_id = ids.account_number(found[1])
        if account_id is None or not self._keys.is_signed(found[1], int(found[2]), found[3], urls[0]):
            raise Problem(404)
        left = int(found[2]) - int(self._clock())
        if left <= 0:
            raise Problem(410, detail="The address has expired; render the message again.")
        return account_id, left, urls[0]

    async def _fetch(self, exchange: Exchange, url: str, left: int) -> None:
        async with self._egress.get(
            url, max_octets=self._most, seconds=self._seconds, headers=[_ACCEPT], http=self._http
        ) as answer:
            if answer.status != _OK:
                _fetched.labels(outcome="refused").inc()
                raise Problem(404, detail="The image cannot be fetched.")
            pieces = answer.pieces
            head = await _head(pieces)
            kind = picture_type(head)
            if kind is None:
                # never what it says it is: SVG can hold scripts, and HTML is no image
                _fetched.labels(outcome="no image").inc()
                raise Problem(415, detail="What is there is no image that is shown.")
            cache = f"private, max-age={left}, immutable".encode()
            await exchange.start(200, [(b"content-type", kind.encode()), (b"cache-control", cache), *_FIXED])
            await exchange.piece(head, more=True)
            async for piece in pieces:
                await exchange.piece(piece, more=True)
            await exchange.piece(b"", more=False)
            _fetched.labels(outcome="fetched").inc()


async def _head(pieces: AsyncIterator[bytes]) -> bytes:
    head = b""
    while len(head) < HEAD:
        piece = await anext(pieces, None)
        if piece is None:
            break
        head += piece
    return head


def _busy() -> Problem:
    return Problem(429, detail="Too many images.", headers=((b"retry-after", b"5"),))
