"""Plain text as HTML: paragraphs that wrap, quotes within each other, links that can be followed (RFC 3676 §4.1, §4.5).

What comes out has no other elements than `div`, `blockquote`, `hr` and `a`; links to a page to leave by have `bdi` and `b` in them. Size and time are linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from itertools import groupby

from petitbleu_mail.flowed import Paragraph, paragraphs
from petitbleu_mail.leaving import LeavePage
from petitbleu_mail.safe_html import MAX_HTML, MAX_URL, safe_link

# Quotes within each other that are shown as such; deeper ones stand in the deepest.
MAX_QUOTES = 20

_LINK = re.compile(r"(?<![A-Za-z0-9+.-])(?:https?://|mailto:)[^\s<>\"\x00-\x20\x7f]+", re.IGNORECASE)
_TRAILING = ".,;:!?'*_"
_PAIRS = {")": "(", "]": "[", "}": "{"}


def html_of_text(
    text: str, params: Mapping[str, str] | None = None, leave: LeavePage | None = None
) -> tuple[str, bool]:
    """Return the HTML of a text/plain part with these parameters of its type, and whether it was cut at `MAX_HTML` characters.

    With `leave` all links lead to that page.
    """
    cut = text[:MAX_HTML]
    out: list[str] = []
    depth = 0
    for wanted, group in groupby(paragraphs(cut, params), key=lambda one: min(one.depth, MAX_QUOTES)):
        out.append("<blockquote>" * (wanted - depth) + "</blockquote>" * (depth - wanted))
        depth = wanted
        out.append(_lines(list(group), leave))
    out.append("</blockquote>" * depth)
    return "".join(out), len(text) > MAX_HTML


def _lines(found: list[Paragraph], leave: LeavePage | None) -> str:
    """Return lines of one depth; the signature, which readers may fold, has a box of its own."""
    out = []
    for is_signature, group in groupby(found, key=lambda one: one.is_signature):
        text = "\n".join(linked(one.text, leave) for one in group)
        mark = ' title="-- "' if is_signature else ""
        out.append(f'<div style="white-space:pre-wrap"{mark}>{text}</div>')
    return "".join(out)


def linked(text: str, leave: LeavePage | None = None) -> str:
    """Return text as HTML in which web addresses are links, to a page to leave by where one is given."""
    if "://" not in text and "mailto:" not in text.lower():
        return escape(text)
    out = []
    at = 0
    for found in _LINK.finditer(text):
        url = _trimmed(found[0])
        if len(url) > MAX_URL or not safe_link(url):
            continue
        link = (safe_link(url), escape(url)) if leave is None else leave.link(safe_link(url))
        if link is None:
            continue
        end = found.start() + len(url)
        out.append(escape(text[at : found.start()]))
        out.append(f'<a href="{escape(link[0])}" target="_blank" rel="noopener noreferrer nofollow">{link[1]}</a>')
        at = end
    out.append(escape(text[at:]))
    return "".join(out)


def _trimmed(url: str) -> str:
    """Return an address without the punctuation of the sentence that it stands in."""
    end = len(url)
    while end:
        last = url[end - 1]
        if last in _TRAILING or (last in _PAIRS and url.count(last, 0, end) > url.count(_PAIRS[last], 0, end)):
            end -= 1
        else:
            break
        if len(url) - end > 100:  # a run of punctuation is part of no address and of no sentence
            break
    return url[:end]
