"""What fuzzing begins with: the messages of the shared data and what is in them, and streams of our own."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from libs.petitbleu_mail.tests.tnef_streams import MESSAGE_OBJECT, attribute, properties, rtf, stream, variable, wide

from petitbleu_mail.headers import scan_headers
from petitbleu_mail.mime import Part, part_content, scan

DATA = Path(os.environ.get("PETITBLEU_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
_MOST = 64 << 10

_RTF = rb"{\rtf1\ansi\ansicpg1252\fromhtml1 {\*\htmltag64 <p>}caf\'e9\u8364?{\b x}\htmlrtf hid\htmlrtf0\par {\*\htmltag72 </p>}}"
_TNEF = stream(
    attribute(1, 0x9007, struct.pack("<II", 1252, 0)), attribute(1, 0x8004, b"Subject\0"),
    attribute(1, 0x9003, properties(wide(0x1000, "text"), variable(0x102, 0x1013, b"<p>x</p>"), variable(0x102, 0x1009, rtf(_RTF, _RTF, 0x414C454D)))),
    attribute(2, 0x9002, b"\1\0"), attribute(2, 0x8010, b"a.txt\0"), attribute(2, 0x800F, b"data"),
    attribute(2, 0x9002, b""), attribute(2, 0x9005, properties(wide(0x3001, "n"), variable(0x0D, 0x3701, MESSAGE_OBJECT + stream(attribute(1, 0x8004, b"in\0"))))),
)  # fmt: skip

_NOTIFICATION = (
    b"Reporting-UA: pc.example; Foomail 1.0\r\nOriginal-Recipient: rfc822;a@x.example\r\nFinal-Recipient: rfc822;a@x.example\r\n"
    b"Original-Message-ID: <1@x.example>\r\nDisposition: manual-action/MDN-sent-manually; displayed/error\r\n"
)
_STATUS = (
    b"Reporting-MTA: dns; x.example\r\nArrival-Date: Tue, 1 Jul 2025 10:00:00 +0200\r\n\r\nOriginal-Recipient: rfc822;b@x.example\r\n"
    b"Final-Recipient: utf-8;b@\xc3\xa9.example\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 no (such) user\r\n"
)


def messages() -> list[bytes]:
    """Every message of the shared data that is not too large."""
    paths = sorted(path for folder in ("mime", "dkim", "spam") for path in (DATA / folder).rglob("*") if path.is_file())
    found = [path.read_bytes() for path in paths if path.suffix != ".json" and "LICENSE" not in path.name]
    return [octets for octets in found if len(octets) <= _MOST]


def _leaves(part: Part) -> Iterator[Part]:
    if not part.is_multipart:
        yield part
    for child in part.parts:
        yield from _leaves(child)


def seeds(target: str) -> list[bytes]:  # noqa: PLR0911 - a kind a target
    """Return what the fuzzing of a target begins with."""
    found = messages()
    if target in {"message", "rendering"}:
        return found
    if target in {"headers", "addresses", "content_types"}:
        fields = [field for octets in found for field in scan_headers(octets).fields]
        wanted = {
            "addresses": (b"from", b"to", b"cc"),
            "content_types": (b"content-type", b"content-disposition", b"subject"),
        }.get(target)
        if wanted is None:
            return [octets[: scan_headers(octets).body_start] for octets in found]
        return list(dict.fromkeys(value for name, value in fields if name.lower() in wanted))
    if target == "tnef":
        return [_TNEF]
    if target == "rtf":
        example = "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
        return [_RTF, rtf(_RTF, _RTF, 0x414C454D), bytes.fromhex(example)]
    if target == "reports":
        return [_NOTIFICATION, _STATUS, *(octets for octets in found if b"report" in octets)]
    kind = {"html": "text/html", "flowed": "text/plain"}.get(target, "")
    texts = [part_content(octets, part) for octets in found for part in _leaves(scan(octets)) if part.type == kind]
    return texts or [b"color:red;background:url(x) no-repeat;font:12px/1.5 'A B',serif!important;margin:-1px /* c */"]
