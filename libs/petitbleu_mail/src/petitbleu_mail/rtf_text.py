"""The text of RTF, and the HTML that Outlook hides in it ([MS-OXRTFEX]): bodies of messages in winmail.dat.

Takes any octets and never raises. Each octet is looked at once; the result is at most `MAX_TEXT` characters.
"""

from __future__ import annotations

import re
from typing import Final

from petitbleu_mail.charsets import decode

MAX_TEXT: Final = 1_000_000
# Groups within each other; real RTF has some ten.
MAX_DEPTH: Final = 500

_TOKEN = re.compile(
    rb"\\([A-Za-z]{1,32})(-?[0-9]{1,10})? ?"  # a control word and its figure
    rb"|\\'([0-9A-Fa-f]{2})"
    rb"|\\([^A-Za-z])"
    rb"|([{}])"
    rb"|[\r\n]+"
    rb"|([^\\{}\r\n]+)",
    re.DOTALL,
)
_HEAD = 4096
_FROM_HTML = re.compile(rb"\\fromhtml1?(?![0-9A-Za-z])")
# Groups that hold no text of the document
_SKIPPED = frozenset(
    {
        b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"object", b"header", b"footer", b"headerl", b"headerr", b"footerl",
        b"footerr", b"listtable", b"listoverridetable", b"rsidtbl", b"generator", b"themedata", b"datastore", b"filetbl", b"xmlnstbl",
        b"fldinst", b"bkmkstart", b"bkmkend",
    }
)  # fmt: skip
_WRITTEN: Final = {
    b"par": "\n", b"line": "\n", b"sect": "\n", b"page": "\n", b"row": "\n", b"tab": "\t", b"cell": "\t", b"emdash": "\u2014",
    b"endash": "\u2013", b"emspace": " ", b"enspace": " ", b"qmspace": " ", b"bullet": "\u2022", b"lquote": "\u2018",
    b"rquote": "\u2019", b"ldblquote": "\u201c", b"rdblquote": "\u201d",
}  # fmt: skip
_SYMBOLS: Final = {b"~": "\xa0", b"_": "\u2011", b"-": "", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n"}
_SURROGATES = re.compile("[\ud800-\udfff]")
_HIGH, _LOW, _END_OF_PAIRS = 0xD800, 0xDC00, 0xE000


class _State:
    """What a group inherits and gives back: whether it is skipped, hidden from HTML; characters that stand for one."""

    __slots__ = ("hidden", "skip", "substitutes")

    def __init__(self, *, skip: bool, hidden: bool, substitutes: int) -> None:
        self.skip = skip
        self.hidden = hidden
        self.substitutes = substitutes


def body_of_rtf(data: bytes) -> tuple[str, bool]:
    """Return the body that RTF holds, and whether that is HTML, else text with LF line ends."""
    is_html = _FROM_HTML.search(data, 0, _HEAD) is not None
    return _Reader(is_html=is_html).read(data), is_html


class _Reader:
    def __init__(self, *, is_html: bool) -> None:
        self.is_html = is_html
        self.out: list[str] = []
        self.size = 0
        self.octets = bytearray()  # of the document's code page, not decoded yet
        self.charset = "cp1252"
        self.state = _State(skip=False, hidden=False, substitutes=1)
        self.outer: list[_State] = []
        self.deeper = 0  # groups beyond MAX_DEPTH that are open
        self.pass_over = 0  # substitutes of a \\u that are still to come
        self.high = 0  # the first half of a pair
        self.starred = False  # behind \\*

    def read(self, data: bytes) -> str:
        at = 0
        while at < len(data) and self.size <= MAX_TEXT:
            found = _TOKEN.match(data, at)
            if found is None:  # a backslash at the very end
                break
            at = found.end()
            word, figure, octet, symbol, brace, text = found.groups()
            if word == b"bin":  # so many octets that are none of RTF
                at += max(int(figure or 0), 0)
            elif brace is not None:
                self._group(brace)
            elif word is not None:
                self._word(word, int(figure) if figure else None)
            elif octet is not None:
                self._octets(bytes((int(octet, 16),)))
            elif symbol is not None:
                self._symbol(symbol)
            elif text is not None:
                self._octets(text)
        self._flush()
        return _SURROGATES.sub("\ufffd", "".join(self.out)[:MAX_TEXT]).strip("\n\0")

    def _group(self, brace: bytes) -> None:
        self.starred = False
        self.pass_over = 0
        now = self.state
        if brace == b"{":
            if len(self.outer) >= MAX_DEPTH:
                self.deeper += 1
                return
            self.outer.append(now)
            self.state = _State(skip=now.skip, hidden=now.hidden, substitutes=now.substitutes)
        elif self.deeper:
            self.deeper -= 1
        elif self.outer:
            self.state = self.outer.pop()

    def _word(self, word: bytes, figure: int | None) -> None:
        state = self.state
        starred, self.starred = self.starred, False
        if word == b"htmltag" and self.is_html:
            # [MS-OXRTFEX] §2.1.3.1.2: what is in the group is HTML as it was
            state.skip = False
        elif word == b"htmlrtf":
            state.hidden = figure != 0  # §2.1.3.1.4: rendered for readers of RTF only
        elif word in _SKIPPED or starred:
            state.skip = True
        elif word == b"ansicpg" and figure:
            self._flush()
            self.charset = f"cp{figure}"
        elif word == b"uc":
            state.substitutes = min(max(figure or 0, 0), 10)
        elif word == b"u" and figure is not None:
            self._unicode(figure % 65536)
        elif word in _WRITTEN:
            self._write(_WRITTEN[word])

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self.starred = True
        elif symbol in _SYMBOLS and not self._is_substitute(1):
            self._write(_SYMBOLS[symbol])

    def _unicode(self, code: int) -> None:
        self.pass_over = self.state.substitutes
        if _HIGH <= code < _LOW:
            self.high = code
        elif _LOW <= code < _END_OF_PAIRS and self.high:
            self._write(chr(0x10000 + ((self.high - _HIGH) << 10) + code - _LOW))
            self.high = 0
        else:
            self._write(chr(code))

    def _is_substitute(self, count: int) -> bool:
        passed = min(self.pass_over, count)
        self.pass_over -= passed
        return passed > 0

    def _octets(self, octets: bytes) -> None:
        if self.pass_over:
            passed = min(self.pass_over, len(octets))
            self.pass_over -= passed
            octets = octets[passed:]
        if octets and self._is_shown():
            self.octets += octets
            self.size += len(octets)

    def _is_shown(self) -> bool:
        return not self.state.skip and not (self.is_html and self.state.hidden)

    def _write(self, text: str) -> None:
        if self._is_shown() and text:
            self._flush()
            self.out.append(text)
            self.size += len(text)

    def _flush(self) -> None:
        if self.octets:
            self.out.append(decode(bytes(self.octets), self.charset)[0])
            self.octets.clear()
