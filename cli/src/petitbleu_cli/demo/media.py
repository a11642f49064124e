"""Small real files to attach, made from nothing: a PNG, a PDF, a spreadsheet, a calendar."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime, timedelta

from petitbleu_cli.demo.people import Person


def png(width: int, height: int, seed: int) -> bytes:
    """Return a picture of coloured bands (PNG, RFC 2083)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    across = bytes(
        value & 255 for x in range(width) for value in (x * (3 + seed % 5), x * 2 + seed * 37, x * 255 // width)
    )
    rows = b"".join(
        # every line is the first one with its colours moved on
        b"\0" + across.translate(bytes((value + y * (1 + seed % 3)) & 255 for value in range(256)))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(rows), 9))
        + chunk(b"IEND", b"")
    )


def pdf(title: str, lines: list[str]) -> bytes:
    """Return a page of text (PDF 1.4, Helvetica, Latin-1)."""

    def escaped(text: str) -> bytes:
        return text.encode("latin-1", "replace").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")

    text = b"BT /F1 16 Tf 60 780 Td (" + escaped(title) + b") Tj /F1 11 Tf 0 -30 Td 15 TL\n"
    text += b"".join(b"(" + escaped(line) + b") Tj T*\n" for line in lines) + b"ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table as CSV with semicolons, as French spreadsheets like it (RFC 4180 otherwise)."""
    return "".join(";".join(row) + "\r\n" for row in [header, *rows])


def invitation(uid: str, title: str, place: str, start: datetime, hours: float, host: Person, guest: Person) -> str:
    """Return an invitation (iCalendar, RFC 5545 §3.6.1; method REQUEST, RFC 5546 §3.2.2)."""

    def stamp(moment: datetime) -> str:
        return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")

    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Petit Bleu//demo//EN", "METHOD:REQUEST", "BEGIN:VEVENT",
        f"UID:{uid}", f"DTSTAMP:{stamp(start - timedelta(days=9))}", f"DTSTART:{stamp(start)}",
        f"DTEND:{stamp(start + timedelta(hours=hours))}", f"SUMMARY:{_escaped(title)}", f"LOCATION:{_escaped(place)}",
        f"ORGANIZER;CN={host.name}:mailto:{host.address}",
        f"ATTENDEE;CN={guest.name};PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{guest.address}",
        "SEQUENCE:0", "STATUS:CONFIRMED", "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
