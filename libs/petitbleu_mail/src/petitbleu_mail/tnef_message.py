"""Messages out of winmail.dat written as mail (RFC 5322, RFC 2045), so that whoever reads mail can read them.

What is written depends on the TNEF alone: the same stream gives the same octets.
"""

from __future__ import annotations

import binascii
from urllib.parse import quote

import msgspec

from petitbleu_mail.rtf_text import body_of_rtf
from petitbleu_mail.tnef import TnefAttachment, TnefMessage, read_tnef

_SIGNATURE = b"\x78\x9f\x3e\x22"
_WORD_OCTETS = 42


class TnefContent(msgspec.Struct, frozen=True):
    """What is attached in a TNEF stream, as it can be saved."""

    name: str | None
    type: str
    data: bytes
    cid: str | None = None
    location: str | None = None


def is_tnef(data: bytes) -> bool:
    """Whether octets begin as a TNEF stream does ([MS-OXTNEF], TNEFSignature)."""
    return data.startswith(_SIGNATURE)


def attached(message: TnefMessage) -> list[TnefContent]:
    """Return the attachments of a message; messages among them as mail."""
    return [_content(one, 0) for one in message.attachments]


def attached_at(data: bytes, number: int) -> TnefContent | None:
    """Return one attachment of a TNEF stream, the first being number 1; None when there is none."""
    message = read_tnef(data)
    if message is None or not 1 <= number <= len(message.attachments):
        return None
    return _content(message.attachments[number - 1], 0)


def _content(one: TnefAttachment, depth: int) -> TnefContent:
    if one.message is None:
        return TnefContent(one.name, one.type, one.data, one.cid, one.location)
    name = one.name if one.name is None or one.name.lower().endswith(".eml") else f"{one.name}.eml"
    return TnefContent(name, "message/rfc822", written(one.message, depth + 1), one.cid, one.location)


def bodies_of(message: TnefMessage) -> tuple[str | None, str | None]:
    """Return the text and the HTML of a message, each None when it has none; RTF becomes one of them."""
    text, html = message.text, message.html
    if message.rtf and html is None:
        found, is_html = body_of_rtf(message.rtf)
        if is_html:
            html = found or None
        elif not text:
            text = found or None
    return text, html


def written(message: TnefMessage, depth: int = 1) -> bytes:
    """Return a message as mail. `depth` tells its delimiters from those of messages around it."""
    fields = [f"Subject: {_words(message.subject)}"] if message.subject else []
    if message.sender_name or message.sender_address:
        fields.insert(0, "From: " + _mailbox(message.sender_name, message.sender_address))
    if message.message_id and message.message_id.isascii() and message.message_id.isprintable():
        fields.append(f"Message-ID: {message.message_id}")
    boundary = f"=_tnef_{depth}"
    fields += ["MIME-Version: 1.0", f'Content-Type: multipart/mixed; boundary="{boundary}"']
    text, html = bodies_of(message)
    parts = []
    if text is not None and html is not None:
        inner = f"=_tnef_{depth}a"
        alternatives = [_text("plain", text), _text("html", html)]
        parts.append(_multipart(f'Content-Type: multipart/alternative; boundary="{inner}"\r\n', inner, alternatives))
    elif text is not None or html is not None or not message.attachments:
        parts.append(_text("plain", text or "") if html is None else _text("html", html))
    parts += [_attachment(_content(one, depth)) for one in message.attachments]
    return _multipart("".join(field + "\r\n" for field in fields), boundary, parts)


def _multipart(header: str, boundary: str, parts: list[bytes]) -> bytes:
    # RFC 2045 §6.7: "=_" is in no base64, so no line of the parts can be a delimiter
    delimiter = f"--{boundary}".encode()
    return b"".join(
        [header.encode(), b"\r\n", *(delimiter + b"\r\n" + part + b"\r\n" for part in parts), delimiter, b"--\r\n"]
    )


def _text(subtype: str, text: str) -> bytes:
    header = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return header.encode() + _base64(text.encode("utf-8", "replace"))


def _attachment(one: TnefContent) -> bytes:
    fields = [f"Content-Type: {one.type}"]
    if one.name:
        # RFC 2231 §4
        fields.append(f"Content-Disposition: attachment; filename*=utf-8''{quote(one.name, safe='')}")
    else:
        fields.append("Content-Disposition: attachment")
    if one.cid and one.cid.isascii() and one.cid.isprintable():
        fields.append(f"Content-ID: <{one.cid}>")
    if one.type == "message/rfc822":  # RFC 2046 §5.2.1: not encoded
        return "\r\n".join([*fields, "", ""]).encode() + one.data
    fields.append("Content-Transfer-Encoding: base64")
    return "\r\n".join([*fields, "", ""]).encode() + _base64(one.data)


def _base64(data: bytes) -> bytes:
    return b"\r\n".join(binascii.b2a_base64(data[at : at + 57], newline=False) for at in range(0, len(data), 57))


def _words(text: str) -> str:
    """Return text as it stands in a header field (RFC 2047 §2)."""
    text = " ".join(text.split())
    if text.isascii() and text.isprintable() and "=?" not in text and len(text) < 900:
        return text
    words, word = [], b""
    for letter in text:
        octets = letter.encode("utf-8", "replace")
        if len(word) + len(octets) > _WORD_OCTETS:
            words.append(word)
            word = b""
        word += octets
    return "\r\n ".join(f"=?utf-8?b?{binascii.b2a_base64(one, newline=False).decode()}?=" for one in [*words, word])


def _mailbox(name: str | None, address: str | None) -> str:
    usable = address is not None and address.isascii() and address.isprintable() and not set(address) & set('<>()," ')
    shown = f"<{address}>" if usable and "@" in (address or "") else "<>"
    return f"{_words(name)} {shown}" if name and not set(name) & set('<>()[]:;@\\,."') else _quoted(name, shown)


def _quoted(name: str | None, shown: str) -> str:
    if not name:
        return shown
    if not name.isascii() or not name.isprintable():
        return f"{_words(name)} {shown}"
    bare = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{bare}" {shown}'
