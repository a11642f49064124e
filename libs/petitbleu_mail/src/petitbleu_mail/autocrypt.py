"""The Autocrypt header (Autocrypt Level 1, §2.1): the key that a sender offers, as it is claimed and not looked into."""

from __future__ import annotations

import re

import msgspec

from petitbleu_mail.header_values import to_text
from petitbleu_mail.headers import unfold
from petitbleu_mail.transfer import decode_base64

# Autocrypt Level 1 §2.1: a header has some kilobytes, and 10 KiB at most are to be taken
MAX_HEADER = 16_384

_ATTRIBUTE = re.compile(r"\s*+([A-Za-z_][A-Za-z0-9_-]{0,63}+)\s*+=\s*+([^;]*+)(?:;|\Z)")


class AutocryptHeader(msgspec.Struct, frozen=True):
    """A valid header: whose key it is, whether mail may be encrypted unasked, and the octets of the key (RFC 9580)."""

    addr: str
    prefers_encryption: bool
    keydata: bytes


def read_autocrypt(value: bytes) -> AutocryptHeader | None:
    """Return what a header field says, None when it is not valid."""
    if len(value) > MAX_HEADER:
        return None
    text = to_text(unfold(value)).strip()
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        attribute = _ATTRIBUTE.match(text, at)
        if attribute is None or attribute[1] in found:
            return None
        found[attribute[1]] = attribute[2].strip()
        at = attribute.end()
    # Autocrypt Level 1 §2.1: an unknown attribute makes it invalid, unless its name begins with an underscore
    if any(name not in {"addr", "prefer-encrypt", "keydata"} for name in found if not name.startswith("_")):
        return None
    addr, keydata = found.get("addr", ""), found.get("keydata", "")
    if not addr or not keydata:
        return None
    key, wrong = decode_base64("".join(keydata.split()).encode("ascii", "replace"))
    if wrong or not key:
        return None
    return AutocryptHeader(addr, found.get("prefer-encrypt") == "mutual", key)
