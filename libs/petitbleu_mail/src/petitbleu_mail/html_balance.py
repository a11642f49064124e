"""HTML whose tags nest: the tag soup of mail put in order before another parser sees it (WHATWG HTML §13.2.6).

A browser's parser repairs soup by rules that can make a thousand times more of it, or take quadratic time; what comes out of
`Balancer` needs no repair. Elements deeper than `MAX_DEPTH` go, their content stays. Only elements that the caller names come in.
"""

from __future__ import annotations

# Newsletters reach 150: four a table in a table.
MAX_DEPTH = 256

VOID = frozenset({"br", "col", "hr", "img", "wbr"})
# Elements that end a paragraph where they begin (WHATWG HTML §13.2.6.4.7)
BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "center", "details", "dir", "div", "dl", "fieldset", "figcaption", "figure",
        "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "dd", "dt", "main", "menu", "nav", "ol", "p", "pre",
        "section", "summary", "table", "ul",
    }
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_GROUPS = frozenset({"tbody", "tfoot", "thead"})
_TABLE_PARTS = _CELLS | _GROUPS | {"caption", "col", "colgroup", "tr"}
# Elements in which only parts of a table may stand
_FRAMES = _GROUPS | {"colgroup", "table", "tr"}
# Start tag → elements that it ends, and where the search for them stops
_TABLE = frozenset({"table"})
_SCOPE = _CELLS | {"caption", "table"}
_ENDED_BY: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "a": (frozenset({"a"}), _SCOPE),
    "li": (frozenset({"li"}), _SCOPE | {"ul", "ol", "menu", "dir"}),
    "dd": (frozenset({"dd", "dt"}), _SCOPE | {"dl"}),
    "dt": (frozenset({"dd", "dt"}), _SCOPE | {"dl"}),
    "td": (_CELLS | {"caption", "colgroup"}, _TABLE),
    "th": (_CELLS | {"caption", "colgroup"}, _TABLE),
    "tr": (_CELLS | {"tr", "caption", "colgroup"}, _TABLE),
    "col": (_CELLS | _GROUPS | {"tr", "caption"}, _TABLE),
    "colgroup": (_CELLS | _GROUPS | {"tr", "caption", "colgroup"}, _TABLE),
    "caption": (_CELLS | _GROUPS | {"tr", "caption", "colgroup"}, _TABLE),
    **dict.fromkeys(_GROUPS, (_CELLS | _GROUPS | {"tr", "caption", "colgroup"}, _TABLE)),
}
_PARAGRAPH = frozenset({"p"})


class Balancer:
    """Writes tags so that each that is opened is closed, innermost first."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._open: list[str] = []
        self._count: dict[str, int] = {}  # of those open, by name
        self._too_deep: dict[str, int] = {}

    def text(self, raw: str) -> None:
        """Write text whose character references are as they were."""
        self.out.append(raw if "<" not in raw else raw.replace("<", "&lt;"))

    def start(self, name: str, attributes: str = "", inside: str = "") -> None:
        """Write a start tag with its attributes, which begin with a blank, and balanced HTML behind it; unless it cannot stand here."""
        if name in BLOCKS:
            self._end(_PARAGRAPH, _SCOPE)
        rule = _ENDED_BY.get(name)
        if rule is not None:
            self._end(*rule)
        top = self._open[-1] if self._open else ""
        # A browser would move what is no part of a table out in front of it, and what it moves can multiply.
        if (name in _TABLE_PARTS) != (top in _FRAMES) or (name == "col" and top not in {"table", "colgroup"}):
            return
        if name in VOID:
            self.out.append(f"<{name}{attributes}>")
        elif len(self._open) >= MAX_DEPTH:
            self._too_deep[name] = self._too_deep.get(name, 0) + 1
        else:
            self._open.append(name)
            self._count[name] = self._count.get(name, 0) + 1
            self.out.append(f"<{name}{attributes}>{inside}")

    def end(self, name: str) -> None:
        """Write an end tag and those of what is open within; unless nothing of this name is open here."""
        if self._too_deep.get(name, 0) > 0:
            self._too_deep[name] -= 1
        else:
            self._end(frozenset({name}), _TABLE if name in _TABLE_PARTS else _SCOPE)

    def finish(self) -> str:
        """Close everything and return the document."""
        self._close(0)
        return "".join(self.out)

    def _end(self, names: frozenset[str], scope: frozenset[str]) -> None:
        """Close the outermost open element of these names that is not beyond the scope."""
        if not any(self._count.get(name) for name in names):
            return
        level = -1
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index] in names:
                level = index
                if len(names) == 1:
                    break
            elif self._open[index] in scope:
                break
        if level >= 0:
            self._close(level)

    def _close(self, level: int) -> None:
        for name in reversed(self._open[level:]):
            self.out.append(f"</{name}>")
            self._count[name] -= 1
        del self._open[level:]
