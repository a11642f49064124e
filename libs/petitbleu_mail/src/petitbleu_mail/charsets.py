"""Octets to text by the charset names that mail really bears. Nothing here raises, whatever the octets or the name."""

from __future__ import annotations

import re
from encodings.aliases import aliases
from functools import lru_cache

_MAX_NAME = 64
# Codecs of Python that are no charsets, are dangerous on foreign octets (punycode takes quadratic time), or both.
_NOT_CHARSETS = {
    "base64_codec", "bz2_codec", "hex_codec", "idna", "mbcs", "oem", "punycode", "quopri_codec", "raw_unicode_escape",
    "rot_13", "undefined", "unicode_escape", "uu_codec", "zlib_codec",
}  # fmt: skip
# Names that senders use for a superset, as the WHATWG Encoding Standard §4.2 lists them.
_SUPERSETS = {
    "ascii": "guess",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
}
_MORE_NAMES = {
    "": "ascii", "8bit": "ascii", "7bit": "ascii", "binary": "ascii", "unknown": "ascii", "unknown_8bit": "ascii",
    "x_unknown": "ascii", "default": "ascii", "none": "ascii", "unicode": "utf_16", "ansi": "cp1252", "x_ansi": "cp1252",
    "x_cp1252": "cp1252", "iso_8859_8_i": "iso8859_8", "iso_8859_8_e": "iso8859_8", "x_sjis": "shift_jis",
    "x_gbk": "gbk", "x_big5": "big5", "x_euc_jp": "euc_jp", "x_mac_roman": "mac_roman", "utf_8_mac": "utf_8",
    "unicode_1_1_utf_7": "utf_7", "unicode_1_1_utf_8": "utf_8", "x_utf_8": "utf_8", "cseucpkdfmtjapanese": "euc_jp",
}  # fmt: skip
_SURROGATE = re.compile("[\ud800-\udfff]")
_ODD = re.compile(r"[^a-z0-9]+")


def _table() -> dict[str, str]:
    names = {alias: codec for alias, codec in aliases.items() if codec not in _NOT_CHARSETS}
    names.update({codec: codec for codec in list(names.values())})
    names.update({codec: codec for codec in ("koi8_t", "koi8_u", "cp856", "cp874", "cp737", "cp720", "cp1006")})
    names.update(_MORE_NAMES)
    found = {alias: _SUPERSETS.get(codec, codec) for alias, codec in names.items()}
    return found | {alias.replace("_", ""): codec for alias, codec in found.items()}


# All names are known in advance: asking `codecs.lookup` for a stranger's names would keep each of them for ever.
_CODECS = _table()


@lru_cache(maxsize=512)
def _codec(charset: str) -> str | None:
    name = _ODD.sub("_", charset[:_MAX_NAME].lower()).strip("_")
    return _CODECS.get(name) or _CODECS.get(name.replace("_", ""))


def decode(data: bytes, charset: str | None) -> tuple[str, bool]:
    """Decode octets; return the text and whether something in them or in the charset's name was wrong.

    A missing or unknown charset, and US-ASCII with octets above 0x7f, is read as UTF-8 where it is that, else as
    windows-1252. What cannot be decoded becomes U+FFFD.
    """
    codec = _codec(charset) if charset else "guess"
    if codec in {"guess", None}:
        if data.isascii():
            return data.decode("ascii"), codec is None
        try:
            return data.decode("utf-8"), codec is None
        except UnicodeDecodeError:
            return data.decode("cp1252", "replace"), True
    name = codec or "utf-8"
    wrong = False
    try:
        text = data.decode(name)
    except (UnicodeError, ValueError):
        wrong = True
        try:
            text = data.decode(name, "replace")
        except (UnicodeError, ValueError):  # such as UTF-16 codecs that refuse even to replace
            text = data.decode("cp1252", "replace")
    if name == "utf_7" and _SURROGATE.search(text):
        # the one codec that gives halves of pairs, which no UTF-8 can hold
        return _SURROGATE.sub("\ufffd", text), True
    return text, wrong


def is_known(charset: str) -> bool:
    """Whether a charset's name means something to us."""
    return _codec(charset) is not None
