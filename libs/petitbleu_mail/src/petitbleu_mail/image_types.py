"""What kind of picture octets are, by their first octets and nothing else (WHATWG MIME Sniffing §6.1).

Only formats that browsers draw and that hold no markup: never SVG.
"""

from __future__ import annotations

# Octets that must be there to tell
HEAD = 32

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
)
# ISO/IEC 23000-22 §10.2: major brands of files that browsers draw
_AVIF = frozenset({b"avif", b"avis"})


def picture_type(head: bytes) -> str | None:
    """Return the media type of a picture that begins so; None for what is none, or none that is shown."""
    if head[:4] == b"RIFF":
        return "image/webp" if head[8:14] == b"WEBPVP" else None
    if head[4:8] == b"ftyp":
        return "image/avif" if head[8:12] in _AVIF else None
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), None)
