"""The body of a message as safe HTML and as text, put together from its parts (RFC 8621 §4.1.4, RFC 2557)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Final

from petitbleu_gateway.domain.rendering_choice import Choice
from petitbleu_mail.charsets import decode
from petitbleu_mail.flowed import is_flowed, paragraphs
from petitbleu_mail.headers import Blob
from petitbleu_mail.html_text import text_of_html
from petitbleu_mail.image_types import HEAD, picture_type
from petitbleu_mail.leaving import LeavePage
from petitbleu_mail.mail_urls import content_id_of, message_id_of
from petitbleu_mail.mime import Part, part_content
from petitbleu_mail.rtf_text import body_of_rtf
from petitbleu_mail.safe_html import MAX_HTML, render_html
from petitbleu_mail.text_html import html_of_text
from petitbleu_mail.tnef_message import TnefContent
from petitbleu_mail.transfer import decode_transfer

# What safe_html lets stand in a data: address
_EMBEDDED: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_PICTURE_OCTETS: Final = 700_000
_PICTURES_OCTETS: Final = 4 << 20
# Characters of all bodies that are shown; the largest newsletters have a tenth of it.
_MAX_SHOWN: Final = 2 * MAX_HTML
# Characters of all addresses that hold pictures: a document may name one of them many times.
_PICTURES_WRITTEN: Final = 8 << 20

Pictures = Mapping[str, str]
"""`cid:` and a Content-ID, `loc:` and a Content-Location, or `part:` and a section → data: address."""


def own_pictures(blob: Blob, choice: Choice, more: Iterable[TnefContent]) -> Pictures:
    """Return the pictures that are part of a message, as addresses that hold them; only what is a picture by its octets."""
    found: dict[str, str] = {}
    left = _PICTURES_OCTETS

    def add(octets: bytes, *names: str | None) -> None:
        nonlocal left
        kind = picture_type(octets[:HEAD])
        if kind not in _EMBEDDED or len(octets) > min(left, _PICTURE_OCTETS):
            return
        left -= len(octets)
        address = f"data:{kind};base64,{base64.b64encode(octets).decode('ascii')}"
        for name in names:
            if name is not None:
                found.setdefault(name, address)

    for part in choice.pictures:
        add(part_content(blob, part), _by_cid(part.cid), _by_location(part.location), f"part:{part.part_id}")
    for content in more:
        if content.type.startswith("image/"):
            add(content.data, _by_cid(content.cid), _by_location(content.location))
    return found


def _text_of(html: str) -> str:
    return text_of_html(html, links=True).rstrip("\n")


def _by_cid(cid: str | None) -> str | None:
    return f"cid:{cid}" if cid else None


def _by_location(location: str | None) -> str | None:
    return f"loc:{location}" if location else None


class BodyWriter:
    """Puts the body together.

    Args:
        blob: The message.
        choice: What of it is there.
        pictures: Its own pictures.
        proxy: Gives the address by which an image from elsewhere is fetched; None to hold these back.
        message_ids: Those of the message, for mid: addresses.
        leave: The page that links lead to, for a child; None where they lead to where they say.

    Attributes:
        kind: How the body is written: html, flowed, plain or rtf; None when there is none.
        remote: Images from elsewhere.
        is_cut: Whether something is missing at the end of a text.
        is_odd: Whether the encoding or charset of a text was wrong.
    """

    def __init__(
        self, blob: Blob, choice: Choice, pictures: Pictures, proxy: Callable[[str], str] | None,
        message_ids: list[str] | None, leave: LeavePage | None = None,
    ) -> None:  # fmt: skip
        self.html: list[str] = []
        self.css: list[str] = []
        self.text: list[str] = []
        self.kind: str | None = None
        self.remote = 0
        self.is_cut = False
        self.is_odd = False
        self._blob = blob
        self._choice = choice
        self._pictures = pictures
        self._proxy = proxy
        self._leave = leave
        self._message_ids = frozenset(message_ids or ())
        self._named: set[str] = set()  # Content-IDs that the HTML names
        self._shown: set[str] = set()  # pictures that stand in it
        self._room = _PICTURES_WRITTEN
        self._left = _MAX_SHOWN

    def write(self, text: str | None, html: str | None) -> None:
        """Write everything; `text` and `html` are the bodies of a winmail.dat, taken where the mail itself has none."""
        lists = self._choice.lists
        bodies = [part for part in lists.html_body if str(part.part_id) in self._choice.texts]
        if html is not None and not any(part.type == "text/html" for part in bodies):
            self._write_html(html)
        elif text is not None and not bodies:
            self._write_plain(text, None)
        else:
            for part in lists.html_body:
                self._write_part(part)
        if self.kind is None:
            self._write_other()
        texts = [part for part in lists.text_body if str(part.part_id) in self._choice.texts]
        if texts:
            self.text = [self._as_text(part) for part in texts]
        elif text is not None:
            self.text = [text.replace("\r\n", "\n")]
        elif html is not None:
            self.text = [_text_of(html)]

    def names(self, cid: str | None) -> bool:
        """Whether the HTML names a part by this Content-ID."""
        return cid is not None and cid in self._named

    def shows(self, cid: str | None, location: str | None) -> bool:
        """Whether a picture by these names stands in the HTML."""
        return not self._shown.isdisjoint(filter(None, (_by_cid(cid), _by_location(location))))

    def shows_part(self, part: Part) -> bool:
        """Whether a picture stands in the HTML."""
        return f"part:{part.part_id}" in self._shown or self.shows(part.cid, part.location)

    def _write_part(self, part: Part) -> None:
        if part.type.startswith("text/"):
            text = self._read(part)
            if part.type == "text/html":
                self._write_html(text)
            else:
                self._write_plain(text, part.params)
        elif (picture := self._picture(f"part:{part.part_id}")) is not None:
            self.html.append(f'<div><img src="{picture}" alt="{escape(part.name or "")}"></div>')

    def _write_other(self) -> None:
        """Write a text of a kind that no body has, when there is nothing else (RFC 2046 §4.1.4)."""
        for part in self._choice.leaves:
            octets = self._choice.texts.get(str(part.part_id))
            if octets is None or part.type in {"text/plain", "text/html"}:
                continue
            if part.type == "text/rtf":
                text, is_html = body_of_rtf(part_content(self._blob, part)[:MAX_HTML])
                if is_html:
                    self._write_html(text)
                    self.text = [_text_of(text)]
                    return
            else:
                text = self._read(part)
            self._write_plain(text, None)
            self.text = [text]
            return

    def _within_bounds(self, text: str) -> str:
        """Return as much of a body as there is room for, and take the room."""
        shown = text[: min(MAX_HTML, self._left)]
        self._left -= len(shown)
        self.is_cut |= len(shown) < len(text)
        return shown

    def _write_html(self, html: str) -> None:
        html = self._within_bounds(html)
        scope = f"mail-{len(self.html) + 1}"
        found = render_html(html, inline=self._inline, proxy=self._proxy, scope=scope, leave=self._leave)
        if found.css:
            self.css.append(found.css)
            self.html.append(f'<div class="{scope}">{found.html}</div>')
        else:
            self.html.append(f"<div>{found.html}</div>")
        self.remote += found.remote
        self._named |= found.cids
        self.kind = "html"

    def _write_plain(self, text: str, params: Mapping[str, str] | None) -> None:
        self.html.append(html_of_text(self._within_bounds(text), params, self._leave)[0])
        self.kind = self.kind or ("flowed" if is_flowed(params) else "plain")

    def _inline(self, url: str) -> str | None:
        """Return the picture that an address names: by its location (RFC 2557 §8.2), or by cid or mid (RFC 2557 §8.3)."""
        cid = content_id_of(url)
        if cid is not None and (message_id_of(url) or "") in {"", *self._message_ids}:
            name = f"cid:{cid}"
        else:
            name = f"loc:{url}"
        return self._picture(name)

    def _picture(self, name: str) -> str | None:
        found = self._pictures.get(name)
        if found is None or len(found) > self._room:
            return None
        self._room -= len(found)
        self._shown.add(name)
        return found

    def _read(self, part: Part) -> str:
        """Return the text of a part, as much of it as was read."""
        octets = self._choice.texts[str(part.part_id)]
        raw = self._blob[part.body_start : part.body_start + octets]
        data, wrong = decode_transfer(raw, part.encoding)
        text, odd = decode(data, part.charset)
        is_cut = octets < part.body_end - part.body_start
        self.is_cut |= is_cut
        self.is_odd |= odd or (wrong and not is_cut)
        return text.replace("\r\n", "\n")[: MAX_HTML + 1]

    def _as_text(self, part: Part) -> str:
        text = self._read(part)[:MAX_HTML]
        if part.type == "text/html":
            return _text_of(text)
        if not is_flowed(part.params):
            return text
        # RFC 3676 §4.1: each paragraph is a line
        return "\n".join(
            (">" * one.depth + " " if one.depth else "") + one.text for one in paragraphs(text, part.params)
        )
