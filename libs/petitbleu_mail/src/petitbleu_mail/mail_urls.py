"""URLs that name parts of messages: cid and mid (RFC 2392)."""

from __future__ import annotations

from urllib.parse import unquote


def content_id_of(url: str) -> str | None:
    """Return the Content-ID that a cid URL names, or a mid URL behind its slash (RFC 2392 §2); None when it is neither.

    Angle brackets are taken off, which senders put in although they do not belong there.
    """
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in {"cid", "mid"}:
        return None
    if scheme == "mid":
        rest = rest.partition("/")[2]
    return unquote(rest, errors="replace").strip().removeprefix("<").removesuffix(">") or None


def message_id_of(url: str) -> str | None:
    """Return the Message-ID that a mid URL names (RFC 2392 §2), None when it is no such URL."""
    scheme, colon, rest = url.partition(":")
    if not colon or scheme.lower() != "mid":
        return None
    return unquote(rest.partition("/")[0], errors="replace").strip().removeprefix("<").removesuffix(">") or None
