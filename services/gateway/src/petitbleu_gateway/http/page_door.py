"""The web app: one page and what it loads, read once when the gateway starts."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.exchange import Exchange
from petitbleu_kit.lifecycle import StartupError

ASSETS_PATH: Final = "/assets/"
_PAGE: Final = "/"
_KINDS: Final = {
    ".html": b"text/html; charset=utf-8", ".js": b"text/javascript; charset=utf-8", ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml", ".png": b"image/png", ".woff2": b"font/woff2", ".json": b"application/json",
}  # fmt: skip
_MOST_OCTETS: Final = 16 << 20
_YEAR: Final = 31_536_000
# CSP 3 §6, no third party at all: scripts and styles are the build's own files; messages are shown in frames with a policy of their own.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    b"frame-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_PROTECTION: Final = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the build: its octets, the same by gzip (RFC 1952), its media type and its entity tag (RFC 9110 §8.8.3)."""

    data: bytes
    packed: bytes
    kind: bytes
    tag: bytes


def pages_of(root: Path | None) -> dict[str, Page]:
    """Read a build: `index.html` is the page, what is in `assets` has its content's hash in its name.

    Raises:
        StartupError: the folder is not there, or holds what no build has.
    """
    if root is None:
        return {}
    index = root / "index.html"
    if not index.is_file():
        raise StartupError(f"PETITBLEU_WEB_ROOT: {root} has no index.html")
    found: dict[str, Page] = {_PAGE: _page(index)}
    for path in sorted((root / "assets").iterdir()):
        if path.suffix in _KINDS and path.is_file():
            found[f"{ASSETS_PATH}{path.name}"] = _page(path)
    if sum(len(page.data) for page in found.values()) > _MOST_OCTETS:
        raise StartupError(f"PETITBLEU_WEB_ROOT: {root} is more than {_MOST_OCTETS} octets")
    return found


def _page(path: Path) -> Page:
    data = path.read_bytes()
    return Page(
        data, gzip.compress(data, 9, mtime=0), _KINDS[path.suffix], b'"%s"' % sha256(data).hexdigest()[:32].encode()
    )


class PageDoor:
    """Serves the build to anybody.

    Args:
        pages: By path.
    """

    def __init__(self, pages: dict[str, Page]) -> None:
        self._pages = pages

    async def page(self, exchange: Exchange) -> None:
        """Answer with a file; 304 when the client has it (RFC 9110 §13.1.2), 404 when there is none."""
        found = self._pages.get(exchange.path)
        if found is None:
            raise Problem(404)
        # a name in `assets` never means anything else; the page is asked for anew, so that an upgrade is seen at once
        lasting = b"public, max-age=%d, immutable" % _YEAR
        kept = b"no-cache" if exchange.path == _PAGE else lasting
        headers = (*_PROTECTION, (b"cache-control", kept), (b"etag", found.tag), (b"vary", b"accept-encoding"))
        if found.tag.decode() in exchange.header(b"if-none-match"):
            await exchange.empty(304, headers)
            return
        if "gzip" in exchange.header(b"accept-encoding").lower():
            await exchange.answer(200, found.packed, found.kind, (*headers, (b"content-encoding", b"gzip")))
            return
        await exchange.answer(200, found.data, found.kind, headers)
