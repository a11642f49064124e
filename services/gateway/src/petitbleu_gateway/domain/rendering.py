"""A message as it can be shown: safe HTML, its text, what is attached, and what it claims to be.

Reads octets of strangers: it is run where they can do no harm (`adapters.rendering_pool`). Takes any octets and raises for none.
"""

from __future__ import annotations

import mmap
from typing import Final
from urllib.parse import quote

import msgspec

from petitbleu_gateway.domain.image_urls import ImageSigner
from petitbleu_gateway.domain.rendering_body import BodyWriter, own_pictures
from petitbleu_gateway.domain.rendering_choice import Choice
from petitbleu_gateway.domain.whole_email import header_of
from petitbleu_gateway.jmap import ids
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.autocrypt import read_autocrypt
from petitbleu_mail.header_values import as_date, as_text, format_date
from petitbleu_mail.headers import MAX_VALUE, Blob, Headers, scan_headers
from petitbleu_mail.leaving import LeavePage
from petitbleu_mail.mime import Part, part_content
from petitbleu_mail.recognition import Finding, Kind, recognise
from petitbleu_mail.structure import ParsedMessage, decode_meta, parse_message
from petitbleu_mail.tnef import read_tnef
from petitbleu_mail.tnef_message import TnefContent, attached, bodies_of

_MAX_AUTOCRYPT: Final = 10


class RenderingJob(msgspec.Struct, array_like=True):
    """What is to be rendered.

    Attributes:
        blob_id: The message's own.
        parts_begin: What the blob ids of its parts begin with.
        downloads: What the addresses of blobs begin with.
        size: Octets of the message, what the server put before it left out.
        meta: The message's record; empty when `pieces` is one piece, the whole message.
        pieces: Octets of the message and where they begin.
        embed: Whether pictures of the message are put into the page.
        images: Signs addresses of images from elsewhere; without it they are held back.
        leave: What addresses of the page begin with that links lead to, for a child; empty for an adult.
    """

    blob_id: str
    parts_begin: str
    downloads: str
    size: int
    meta: bytes
    pieces: list[tuple[int, bytes]]
    embed: bool
    images: ImageSigner | None = None
    leave: str = ""


class PartView(msgspec.Struct, rename="camel"):
    """A part that can be downloaded. `within` is the blob id of the winmail.dat that it was in."""

    blob_id: str
    url: str
    type: str
    size: int
    name: str | None = None
    cid: str | None = None
    disposition: str | None = None
    within: str | None = None
    is_shown: bool = False


class MessageView(msgspec.Struct, rename="camel"):
    """A message within the message; it has a rendering of its own."""

    blob_id: str
    name: str | None = None
    subject: str | None = None
    from_: list[dict[str, str | None]] | None = msgspec.field(default=None, name="from")
    sent_at: str | None = None


class Structure(msgspec.Struct, rename="camel"):
    """A structure that was recognised: nothing was verified or decrypted. A multipart has no blob, its content may."""

    kind: str
    blob_id: str | None = None
    content_blob_id: str | None = None
    method: str | None = None


class AutocryptView(msgspec.Struct, rename="camel"):
    """An Autocrypt header that is valid and of the sender (Autocrypt Level 1 §2.3)."""

    addr: str
    prefer_encrypt: str | None = None


class Rendering(msgspec.Struct, rename="camel"):
    """What docs/rest.md says of the answer."""

    blob_id: str
    kind: str = "empty"
    html: str = ""
    css: str = ""
    text: str = ""
    remote_images: int = 0
    is_truncated: bool = False
    is_encoding_problem: bool = False
    inline: list[PartView] = []
    attachments: list[PartView] = []
    messages: list[MessageView] = []
    structures: list[Structure] = []
    autocrypt: AutocryptView | None = None


def render(job: RenderingJob) -> Rendering | None:
    """Return the rendering of a message; None when the octets are no message."""
    if job.meta:
        sparse = mmap.mmap(-1, max(job.size, 1))  # what is not read costs nothing
        for at, piece in job.pieces:
            sparse[at : at + len(piece)] = piece
        blob: Blob = sparse
        meta = decode_meta(job.meta)
    else:
        blob = job.pieces[0][1]
        if header_of(blob) is None:
            return None
        meta = parse_message(blob)
    return _Renderer(job, blob, meta).run()


class _Renderer:
    def __init__(self, job: RenderingJob, blob: Blob, meta: ParsedMessage) -> None:
        self.job = job
        self.blob = blob
        self.meta = meta
        self.choice = Choice(meta.root, embed=job.embed)
        self.found = Rendering(job.blob_id)
        self.unpacked: set[str | None] = set()  # sections of winmail.dat whose content is listed

    def run(self) -> Rendering:
        found = self.found
        claims = recognise(self.meta.root, self.blob)
        found.structures = [self._structure(one) for one in claims]
        files, text, html = self._tnef()
        proxy = None if self.job.images is None else self.job.images.url
        pictures = own_pictures(self.blob, self.choice, [content for _, _, content in files] if self.job.embed else [])
        leave = LeavePage(self.job.leave) if self.job.leave else None
        writer = BodyWriter(self.blob, self.choice, pictures, proxy, self.meta.message_id, leave)
        writer.write(text, html)
        found.html, found.css, found.text = "".join(writer.html), "\n".join(writer.css), "\n".join(writer.text)
        found.kind = writer.kind or _kind_of(claims, found)
        found.remote_images = writer.remote
        found.is_truncated, found.is_encoding_problem = writer.is_cut, writer.is_odd
        self._list_parts(writer)
        for blob_id, within, content in files:
            view = self._view_of_content(blob_id, within, content)
            view.is_shown = writer.shows(content.cid, content.location)
            (found.inline if view.is_shown or writer.names(content.cid) else found.attachments).append(view)
            if content.type == "message/rfc822":
                found.messages.append(_message_view(blob_id, content.name, scan_headers(content.data)))
        found.messages[:0] = [self._nested(part) for part in self.choice.messages]
        found.autocrypt = self._autocrypt()
        return found

    def _blob_id(self, part: Part | None) -> str | None:
        return None if part is None or not part.part_id else ids.part_blob_id(self.job.parts_begin, part.part_id)

    def _structure(self, finding: Finding) -> Structure:
        content = None if finding.content is finding.part else finding.content
        if finding.kind is Kind.MESSAGE:
            content = None
        return Structure(finding.kind.value, self._blob_id(finding.part), self._blob_id(content), finding.method)

    def _tnef(self) -> tuple[list[tuple[str, str, TnefContent]], str | None, str | None]:
        """Return what is in winmail.dat: the attachments by their blob ids, and the bodies of the first that has one."""
        files: list[tuple[str, str, TnefContent]] = []
        text: str | None = None
        html: str | None = None
        for part in self.choice.tnef:
            message = read_tnef(part_content(self.blob, part))
            blob_id = self._blob_id(part)
            if message is None or blob_id is None:
                continue
            self.unpacked.add(part.part_id)
            files += [(f"{blob_id}-{n}", blob_id, one) for n, one in enumerate(attached(message), 1)]
            if text is None and html is None:
                text, html = bodies_of(message)
        return files, text, html

    def _list_parts(self, writer: BodyWriter) -> None:
        lists = self.choice.lists
        bodies = {part.part_id for part in (*lists.html_body, *lists.text_body) if part.type.startswith("text/")}
        for part in self.choice.leaves:
            if part.part_id in bodies or part.part_id in self.unpacked:
                continue
            view = self._view(part)
            view.is_shown = writer.shows_part(part)
            named = part.disposition != "attachment" and writer.names(part.cid)
            (self.found.inline if view.is_shown or named else self.found.attachments).append(view)

    def _url(self, blob_id: str, name: str | None, kind: str) -> str:
        shown = quote((name or "file").replace("/", "_"), safe="")
        return f"{self.job.downloads}{blob_id}/{shown}?type={quote(kind, safe='')}"

    def _view(self, part: Part) -> PartView:
        blob_id = self._blob_id(part) or self.job.blob_id
        return PartView(
            blob_id,
            self._url(blob_id, part.name, part.type),
            part.type,
            part.size,
            part.name,
            part.cid,
            part.disposition,
        )

    def _view_of_content(self, blob_id: str, within: str, one: TnefContent) -> PartView:
        return PartView(
            blob_id, self._url(blob_id, one.name, one.type), one.type, len(one.data), one.name, one.cid, None, within
        )

    def _nested(self, part: Part) -> MessageView:
        message = part.message
        headers = Headers(self.blob, 0, [], 0) if message is None else scan_headers(self.blob, message.header_start)
        return _message_view(self._blob_id(part) or self.job.blob_id, part.name, headers)

    def _autocrypt(self) -> AutocryptView | None:
        values = scan_headers(self.blob, self.meta.root.header_start).all(b"autocrypt")[:_MAX_AUTOCRYPT]
        valid = [one for one in map(read_autocrypt, values) if one is not None]
        senders = {one.email.lower() for one in self.meta.from_ or ()}
        # Autocrypt Level 1 §2.3: exactly one, of the one sender
        ours = [one for one in valid if one.addr.lower() in senders]
        if len(ours) != 1 or len(senders) != 1:
            return None
        return AutocryptView(ours[0].addr, "mutual" if ours[0].prefers_encryption else None)


def _message_view(blob_id: str, name: str | None, headers: Headers) -> MessageView:
    subject, sender, date = headers.last(b"subject"), headers.last(b"from"), headers.last(b"date")
    view = MessageView(blob_id, name)
    view.subject = None if subject is None else as_text(subject[:MAX_VALUE])[:2000]
    if sender is not None:
        view.from_ = [{"name": one.name, "email": one.email} for one in as_addresses(sender[:MAX_VALUE])[:100]]
    when = None if date is None else as_date(date)
    view.sent_at = None if when is None else format_date(when)
    return view


_ENCRYPTED: Final = {Kind.SMIME_ENCRYPTED, Kind.SMIME_COMPRESSED, Kind.SMIME_SIGNED, Kind.PGP_ENCRYPTED}


def _kind_of(claims: list[Finding], found: Rendering) -> str:
    """Return the kind of a message that has no text of its own."""
    kinds = {one.kind for one in claims}
    if found.html:
        return "picture"
    if kinds & _ENCRYPTED:
        return "encrypted"
    return "calendar" if Kind.CALENDAR in kinds else "empty"
