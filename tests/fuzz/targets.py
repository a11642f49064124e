"""What is fuzzed: each target takes any octets, raises for none, and checks what must hold for all.

Bounds of time and memory are those of the driver (`run`): a target that needs more for 64 KiB is a finding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec
from libs.petitbleu_mail.tests.html_judge import Judge, check_sheet

from petitbleu_gateway.domain.rendering import RenderingJob, render
from petitbleu_mail.address_list import as_addresses, as_grouped_addresses
from petitbleu_mail.addresses import AddressError, parse_mailbox
from petitbleu_mail.autocrypt import read_autocrypt
from petitbleu_mail.compressed_rtf import MAX_RTF, decompress_rtf
from petitbleu_mail.content_types import file_name, parse_content_type, parse_disposition
from petitbleu_mail.delivery_status import read_delivery_status, write_delivery_status
from petitbleu_mail.disposition import read_notification, write_notification
from petitbleu_mail.encoded_words import decode_words
from petitbleu_mail.flowed import paragraphs, read_flowed
from petitbleu_mail.header_values import (
    as_content_id,
    as_date,
    as_languages,
    as_message_ids,
    as_text,
    as_urls,
    format_date,
    to_text,
)
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.html_text import text_of_html
from petitbleu_mail.mime import Part, part_content, part_text
from petitbleu_mail.preview import html_to_text, preview_of_html
from petitbleu_mail.recognition import recognise
from petitbleu_mail.reports import find_report
from petitbleu_mail.rtf_text import MAX_TEXT, body_of_rtf
from petitbleu_mail.safe_css import safe_style
from petitbleu_mail.safe_html import render_html
from petitbleu_mail.safe_sheet import safe_sheet
from petitbleu_mail.smtp_grammar import parse_command
from petitbleu_mail.structure import decode_meta, encode_meta, parse_message
from petitbleu_mail.text_html import html_of_text
from petitbleu_mail.threading import thread_keys
from petitbleu_mail.tnef import read_tnef
from petitbleu_mail.tnef_message import attached, bodies_of, is_tnef, written

Target = Callable[[bytes], None]


def _parts(part: Part) -> list[Part]:
    inner = [deeper for child in part.parts for deeper in _parts(child)]
    return [part, *inner, *(_parts(part.message) if part.message is not None else [])]


def message(data: bytes) -> None:
    """parse_message and whatever reads its parts."""
    found = parse_message(data)
    assert decode_meta(encode_meta(found)) == found
    assert len(found.preview) <= 256
    assert len(thread_keys(found)) <= 64
    recognise(found.root, data)
    for part in _parts(found.root):
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(data)
        if not part.is_multipart:
            assert len(part_content(data, part)) == part.size
            part_text(data, part)[0].encode()


def headers(data: bytes) -> None:
    """Header fields, each in every form."""
    found = scan_headers(data)
    assert found.body_start <= len(data)
    for _, value in found.fields[:50]:
        for read in (as_text, as_message_ids, as_urls, as_addresses, as_grouped_addresses, as_content_id, as_languages):
            msgspec.json.encode(read(value))
        date = as_date(value)
        if date is not None:
            assert as_date(format_date(date).encode()) is None or format_date(date)
        read_autocrypt(value)


def addresses(data: bytes) -> None:
    """Lists of addresses, single ones, SMTP commands that hold them."""
    for one in as_addresses(data):
        (one.email + (one.name or "")).encode()
    as_grouped_addresses(data)
    parse_command(data)
    parse_command(data, utf8=True)
    try:
        mailbox = parse_mailbox(data)
    except AddressError:
        return
    assert parse_mailbox(str(mailbox)) == mailbox


def content_types(data: bytes) -> None:
    """Content-Type, Content-Disposition, encoded words."""
    _, content = parse_content_type(data)
    _, disposition = parse_disposition(data)
    (file_name(disposition, content) or "").encode()
    decode_words(to_text(data)).encode()
    decode_words(to_text(data), anywhere=True).encode()


def tnef(data: bytes) -> None:
    """winmail.dat, and the mail that is made of it."""
    found = read_tnef(data)
    assert (found is not None) <= is_tnef(data)
    if found is None:
        return
    bodies_of(found)
    for one in attached(found):
        (one.name or "").encode()
        assert "\r" not in one.type
    octets = written(found)
    assert octets == written(found)
    assert parse_message(octets).root.type == "multipart/mixed"


def rtf(data: bytes) -> None:
    """Compressed RTF, RTF, and the HTML in it."""
    raw, _ = decompress_rtf(data)
    assert len(raw) <= MAX_RTF
    for octets in (raw, data):
        text, _ = body_of_rtf(octets)
        assert len(text.encode()) <= 4 * MAX_TEXT


def html(data: bytes) -> None:
    """The safe rendering, which another parser judges, and the text of HTML."""
    text = data.decode("utf-8", "replace")
    held = render_html(text)
    assert not Judge(held.html).fetched or "data:image/" in held.html
    shown = render_html(
        text, inline=lambda _: None, proxy=lambda url: "https://mail.example/image?u=" + url[:4].lower()
    )
    Judge(shown.html)
    assert len(held.html) <= 200 + 30 * len(text)
    styled = render_html(text, scope="mail-1")
    Judge(styled.html, classes=True)
    check_sheet(styled.css, "mail-1")
    text_of_html(text, links=True).encode("utf-8", "surrogatepass")
    html_to_text(text)
    preview_of_html(text)


def css(data: bytes) -> None:
    """Style attributes: what is safe stays as it is."""
    check_sheet(safe_sheet(data.decode("latin-1"), "mail-1")[0], "mail-1")
    safe, _ = safe_style(data.decode("latin-1"))
    assert safe_style(safe) == (safe, 0)
    assert not set(safe) & set("<>{}@\\")


def flowed(data: bytes) -> None:
    """Plain text, flowed or not, and its HTML."""
    text = data.decode("utf-8", "replace")
    for params in (None, {"format": "flowed"}, {"format": "flowed", "delsp": "yes"}):
        assert sum(len(one.text) for one in paragraphs(text, params)) <= len(text)
        shown, _ = html_of_text(text, params)
        Judge(shown)
        assert len(shown) <= 400 + 300 * len(text)
    read_flowed(text)


def reports(data: bytes) -> None:
    """The machine's parts of reports, and the reports that are written of what was read."""
    find_report(data)
    notification = read_notification(data)
    if notification is not None:
        with contextlib.suppress(ValueError):  # what cannot be written again as it is
            assert read_notification(write_notification(notification)) is not None
    status = read_delivery_status(data)
    if status is not None:
        with contextlib.suppress(ValueError):
            assert read_delivery_status(write_delivery_status(status)) is not None


def rendering(data: bytes) -> None:
    """A whole message as the gateway shows it."""
    found = render(
        RenderingJob("B1", "B1", "https://mail.example/jmap/download/a/", len(data), b"", [(0, data)], embed=True)
    )
    if found is not None:
        Judge(found.html, classes=True)
        check_sheet(found.css, "mail-[0-9]+")
        msgspec.json.encode(found)
        meta = encode_meta(parse_message(data))
        again = RenderingJob(
            "B1", "B1", "https://mail.example/jmap/download/a/", len(data), meta, [(0, data)], embed=True
        )
        assert render(again) == found


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (message, headers, addresses, content_types, tnef, rtf, html, css, flowed, reports, rendering)
}
