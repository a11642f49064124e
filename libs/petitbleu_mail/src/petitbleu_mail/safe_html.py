"""HTML of a stranger, made safe to show in one's own page: an allow list, no scripts, nothing fetched that nobody asked for.

Two passes that do not trust each other. The first (`html_tokens`, `html_balance`, here) writes only known tags, nested, with
rewritten addresses; the second (nh3, which parses as browsers do) keeps only what the same lists allow and checks each
address again as it stands in the result. Time is linear in the length of the text, the result at most some ten times longer.

What is written for the page's script to find: `data-remote-src` and `data-remote-background` hold the address of an image that
was not loaded, `data-cid` the Content-ID of a part that is not shown. Style attributes are reduced (`safe_css`). Style sheets
are left out, and with them `class` and `id`, unless the caller names the class of the box that the message will stand in
(`safe_sheet`).

For a child's eyes (`leave`) links lead to a page of ours that says where they go, and stand beside their whole address; what was not
loaded is not named, and no image lies within its address unless `inline` gave it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

import msgspec
import nh3

from petitbleu_mail.html_balance import Balancer
from petitbleu_mail.html_tokens import Sheet, Tag, Text, tokens_and_sheets
from petitbleu_mail.leaving import LeavePage
from petitbleu_mail.mail_urls import content_id_of
from petitbleu_mail.safe_css import safe_style
from petitbleu_mail.safe_sheet import MAX_SHEETS, class_names, id_name, safe_sheet

# Characters of one document that are shown. The largest newsletters reach a few hundred thousand without their images.
MAX_HTML = 1_000_000
# RFC 9110 §4.1 wants 8,000 octets at least.
MAX_URL = 8192
# Characters of one other attribute
MAX_VALUE = 1000
# An image within its address; a logo has some ten kilobytes.
MAX_DATA = 1_000_000

_EVERYWHERE = frozenset({"align", "bgcolor", "dir", "height", "lang", "role", "style", "title", "valign", "width"})
_CELL = frozenset({"abbr", "axis", "background", "colspan", "nowrap", "rowspan", "scope"})
_ATTRIBUTES: dict[str, frozenset[str]] = {
    "a": frozenset({"href"}),
    "br": frozenset({"clear"}),
    "col": frozenset({"span"}),
    "colgroup": frozenset({"span"}),
    "font": frozenset({"color", "face", "size"}),
    "hr": frozenset({"color", "noshade", "size"}),
    "img": frozenset({"alt", "border", "hspace", "src", "vspace"}),
    "li": frozenset({"type", "value"}),
    "ol": frozenset({"reversed", "start", "type"}),
    "table": frozenset({"background", "border", "cellpadding", "cellspacing", "frame", "rules", "summary"}),
    "td": _CELL,
    "th": _CELL,
    "time": frozenset({"datetime"}),
    "tr": frozenset({"background"}),
    "ul": frozenset({"type"}),
}
TAGS = frozenset(
    {
        "a", "abbr", "acronym", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "br", "caption", "center",
        "cite", "code", "col", "colgroup", "dd", "del", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "font", "footer",
        "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "nav", "ol", "p",
        "pre", "q", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot",
        "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr",
    }
)  # fmt: skip
# WAI-ARIA 1.2 §5.4: a table that is none; other roles would let a message pretend to be part of the page
_ROLES = frozenset({"none", "presentation"})
_REMOTE = {"src": "data-remote-src", "background": "data-remote-background"}
_WRITTEN = {"data-remote-src", "data-remote-background"}
_CID = "data-cid"

# What the second pass keeps: the same, and the names under which addresses are held back
_ALLOWED: dict[str, set[str]] = {"*": set(_EVERYWHERE) | {"class"}} | {
    name: set(names) | {_REMOTE[attribute] for attribute in _REMOTE if attribute in names}
    for name, names in _ATTRIBUTES.items()
}
_ALLOWED["img"].add(_CID)

_CLASSES = re.compile(r"[mi]-[A-Za-z0-9_-]++(?: [mi]-[A-Za-z0-9_-]++)*+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_NOISE = re.compile(r"[\t\n\r]+")  # WHATWG URL §4.4: a parser takes them out of an address
_ENDS = "".join(map(chr, range(33)))
_WEB = re.compile(r"https?://[^/\\?#\s]", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://[^/\\?#\s]|mailto:[^\s])", re.IGNORECASE)
_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,[A-Za-z0-9+/=\s]++", re.IGNORECASE)


Inline = Callable[[str], str | None]
"""Gives the address at which what an address in a message names is shown (RFC 2392 §2, RFC 2557 §8); None when it is no part of it."""
Proxy = Callable[[str], str]
"""Gives the address by which an image from elsewhere is fetched."""


class SafeHtml(msgspec.Struct, frozen=True):
    """HTML to put into a page; `css` are its style sheets, for the page's head.

    `remote` counts the images from elsewhere: held back, by way of the proxy, or of a style attribute and left out. `cids` are
    the Content-IDs that images name. `is_cut` says that the text was longer than `MAX_HTML`.
    """

    html: str
    css: str = ""
    remote: int = 0
    cids: frozenset[str] = frozenset()
    is_cut: bool = False


def render_html(
    text: str, *, inline: Inline | None = None, proxy: Proxy | None = None, scope: str | None = None,
    leave: LeavePage | None = None,
) -> SafeHtml:  # fmt: skip
    """Return the safe rendering of the HTML of a part.

    `scope` is the class of the element that the caller puts it in; without it style sheets are left out.

    Without `inline` images that are parts of the message are not shown; without `proxy` those from elsewhere are held back.
    Links keep http, https and mailto only, open elsewhere and tell nobody where they come from. With `leave` they all lead to that
    page, and none from elsewhere is proxied.
    """
    renderer = _Renderer(inline, None if leave is not None else proxy, scope, leave)
    html = renderer.render(_LONE_SURROGATE.sub("\ufffd", text[:MAX_HTML]))
    return SafeHtml(html, "".join(renderer.css), renderer.remote, frozenset(renderer.cids), len(text) > MAX_HTML)


class _Renderer:
    def __init__(self, inline: Inline | None, proxy: Proxy | None, scope: str | None, leave: LeavePage | None) -> None:
        self.scope = scope
        self.leave = leave
        self.left_by: set[str] = set()  # addresses of the page to leave by
        self.css: list[str] = []
        self.room = MAX_SHEETS
        self.inline = inline
        self.proxy = proxy
        self.remote = 0
        self.cids: set[str] = set()
        self.styles: dict[str, tuple[str, int]] = {}  # a newsletter repeats few of them many times
        self.checked: dict[str, bool] = {}
        self.addresses: set[str] = set()  # of images, as they were written

    def render(self, text: str) -> str:
        balancer = Balancer()
        for token in tokens_and_sheets(text):
            if isinstance(token, Text):
                balancer.text(token.raw)
                continue
            if isinstance(token, Sheet):
                self._sheet(token.css)
                continue
            # what a page's own body would do to the page is done to a box around the message
            name = "div" if token.name == "body" else token.name
            if name not in TAGS:
                continue
            if token.is_end:
                balancer.end(name)
            elif name == "a" and self.leave is not None:
                balancer.start(name, *self._led_away(self.leave, token))
            else:
                balancer.start(name, self._attributes(name, token) if token.raw else "")
        # The cleaner is made for each document: its filter knows this document's addresses.
        return nh3.clean(
            balancer.finish(),
            tags=set(TAGS),
            attributes=_ALLOWED,
            attribute_filter=self._check,
            url_schemes={"http", "https", "mailto", "data"},
            # WHATWG HTML §4.6.6: no opener, no referrer
            link_rel="noopener noreferrer nofollow",
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )

    def _led_away(self, leave: LeavePage, tag: Tag) -> tuple[str, str]:
        """Return the attributes of a link that leads to the page to leave by, and what shows where it goes from there."""
        found = leave.link(_bare(tag.attributes().get("href", "")))
        attributes = self._attributes("a", tag)
        if found is None:
            return attributes, ""
        self.left_by.add(found[0])
        # the words begin behind it, so that a box that is too small hides them first
        return f'{attributes} href="{escape(found[0])}"', f"{found[1]} "

    def _attributes(self, name: str, tag: Tag) -> str:
        """Return the attributes of a start tag as they are written, each behind a blank."""
        allowed = _ATTRIBUTES.get(name, _EVERYWHERE)
        out = []
        given = tag.attributes()
        if self.scope is not None and ("class" in given or "id" in given):
            names = f"{class_names(given.get('class', ''))} {id_name(given.get('id', ''))}".strip()
            if names:
                out.append(f' class="{names}"')
        for attribute, value in given.items():
            if attribute not in _EVERYWHERE and attribute not in allowed:
                continue
            if attribute in _REMOTE:
                written = self._image(attribute, value, name)
            elif attribute == "href":
                written = (attribute, "" if self.leave is not None else safe_link(value))
            elif attribute == "style":
                written = (attribute, self._style(value))
            elif attribute == "role" and value.lower() not in _ROLES:
                continue
            else:
                written = (attribute, value[:MAX_VALUE])
            if written[1] or attribute == "alt":
                out.append(f' {written[0]}="{escape(written[1])}"')
        return "".join(out)

    def _sheet(self, css: str) -> None:
        if self.scope is not None and self.room > 0:
            rules, fetches = safe_sheet(css[: self.room], self.scope)
            self.room -= len(css)
            self.css.append(rules)
            self.remote += fetches

    def _style(self, value: str) -> str:
        known = self.styles.get(value)
        if known is None:
            known = self.styles[value] = safe_style(value)
        self.remote += known[1]
        return known[0]

    def _image(self, attribute: str, value: str, element: str) -> tuple[str, str]:
        """Return the attribute by which an image is shown, and its value: empty for none."""
        if element == "img" and value[:5].lower() == "data:":
            # nobody looked at its octets
            shows = self.leave is None and len(value) <= MAX_DATA and _DATA.fullmatch(value)
            return attribute, value if shows else ""
        url = _bare(value)
        shown = self.inline(url) if self.inline is not None and url else None
        cid = content_id_of(url)
        if cid is not None:
            self.cids.add(cid)
        if shown:
            return attribute, self._note(shown)
        if cid is not None:
            return (_CID, cid[:MAX_VALUE]) if element == "img" else (attribute, "")
        if url.startswith("//"):
            url = "https:" + url  # RFC 3986 §4.2; the message itself came by no scheme
        if not _WEB.match(url):
            return attribute, ""
        self.remote += 1
        if self.proxy is None:
            return _REMOTE[attribute], url if self.leave is None else ""
        return attribute, self._note(self.proxy(url))

    def _note(self, address: str) -> str:
        self.addresses.add(address)
        return address

    def _check(self, _tag: str, attribute: str, value: str) -> str | None:
        """Look at an attribute as the result would have it; None takes it out."""
        if attribute == "href":
            allowed = value in self.left_by if self.leave is not None else safe_link(value) == value
            return value if allowed else None
        if attribute in _REMOTE:
            return value if value in self.addresses or (self.leave is None and _DATA.fullmatch(value)) else None
        if attribute in _WRITTEN:
            return value if self.leave is None and _WEB.match(value) else None
        if attribute == "style":
            return value if self._is_safe(value) else None
        if attribute == "class":
            return value if self.scope is not None and _CLASSES.fullmatch(value) else None
        return value

    def _is_safe(self, style: str) -> bool:
        if style not in self.checked:
            self.checked[style] = safe_style(style)[0] == style
        return self.checked[style]


def safe_link(value: str) -> str:
    """Return the address of a link, or nothing when it is neither http, https nor mailto."""
    url = _bare(value)
    return url if _LINK.match(url) else ""


def _bare(value: str) -> str:
    """Return an address without what parsers take out of it; nothing when it is too long to be one."""
    url = value.strip(_ENDS)
    if len(url) > MAX_URL:
        return ""
    return _NOISE.sub("", url)
