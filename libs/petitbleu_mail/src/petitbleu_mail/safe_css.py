"""The declarations of a style attribute that cannot reach out, cover anything or run anything (CSS Syntax 3, CSS 2.2).

An allow list of properties, and values made of plain words, numbers, colours and quoted names only: no url(), no escapes, no
expression(), no variables. What does not pass is left out; the rest stays.
"""

from __future__ import annotations

import re

# Characters of one attribute that are looked at; real ones have some hundred.
MAX_STYLE = 8192

_SIDES = ("-top", "-right", "-bottom", "-left")
PROPERTIES = frozenset(
    {
        "background", "background-color", "border", "border-collapse", "border-color", "border-radius", "border-spacing",
        "border-style", "border-width", "box-sizing", "caption-side", "clear", "color", "direction", "display", "empty-cells",
        "float", "font", "font-family", "font-size", "font-style", "font-variant", "font-weight", "height", "letter-spacing",
        "line-height", "list-style", "list-style-position", "list-style-type", "margin", "max-height", "max-width", "min-height",
        "min-width", "opacity", "overflow", "overflow-wrap", "padding", "table-layout", "text-align", "text-decoration",
        "text-indent", "text-transform", "unicode-bidi", "vertical-align", "visibility", "white-space", "width", "word-break",
        "word-spacing", "word-wrap",
    }
    | {name + side for name in ("margin", "padding", "border") for side in _SIDES}
    | {f"border{side}{what}" for side in _SIDES for what in ("-color", "-style", "-width")}
    | {f"border-{end}-{side}-radius" for end in ("top", "bottom") for side in ("left", "right")}
)  # fmt: skip

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_IMAGE = re.compile(r"""\burl\(\s*+(?:"[^"]*+"|'[^']*+'|[^()"']*+)\s*+\)""", re.IGNORECASE)
_COLOUR = re.compile(r"\b(?:rgba?|hsla?)\([0-9a-z.,%/ \t+-]*+\)", re.IGNORECASE)
_PLAIN = re.compile(r"""(?:[\w \t\n\r\f#%.,+!/-]++|"[\w .,-]*+"|'[\w .,-]*+')*+""")
# Margins below zero lay a message over what stands around it.
_NEGATIVE = re.compile(r"(?:^|[\s,])-")
_SHOWN = frozenset({"block", "inline", "inline-block", "list-item", "none"})


def safe_style(style: str) -> tuple[str, int]:
    """Return the safe declarations of a style attribute, and how many images it would have fetched."""
    images = 0
    out: list[str] = []
    style = style[:MAX_STYLE]
    if "/*" in style:
        style = _COMMENT.sub(" ", style)
    images = len(_IMAGE.findall(style)) if "(" in style else 0
    if images:
        style = _IMAGE.sub(" ", style)
    for declaration in style.split(";"):
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), " ".join(value.split())
        if colon and value and name in PROPERTIES and _is_plain(value) and _is_harmless(name, value.lower()):
            out.append(f"{name}:{value}")
    return ";".join(out), images


def _is_plain(value: str) -> bool:
    bare = _COLOUR.sub("", value) if "(" in value else value
    return _PLAIN.fullmatch(bare) is not None


def _is_harmless(name: str, value: str) -> bool:
    if name.startswith("margin"):
        return _NEGATIVE.search(value) is None
    if name == "display":
        return value.removesuffix("!important").strip() in _SHOWN or value.startswith("table")
    return True
