"""Style sheets of a message, reduced to rules that reach its own elements only (CSS Syntax 3, Selectors 4, Media Queries 4).

An allow list throughout: simple selectors, each behind the class of the message's own box, classes and ids under names of ours,
declarations as `safe_css` lets them stand, `@media` with plain conditions. What does not pass is left out; the rest stays. The
result has no character that could end a `style` element. Time and size are linear in the length of the sheet.
"""

from __future__ import annotations

import re

from petitbleu_mail.safe_css import safe_style

# Characters of all sheets of a message that are looked at; the largest newsletters have some tens of thousands.
MAX_SHEETS = 200_000
MAX_CLASSES = 20

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|<!--|-->", re.DOTALL)
_PRELUDE = re.compile(r"[^{};]*+")
_BRACES = re.compile(r"[{}]")
_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}+"
_CLASS = re.compile(_NAME)
_COMPOUND = re.compile(rf"([A-Za-z][A-Za-z0-9]{{0,19}}+|\*)?((?:[.#]{_NAME})*+)((?::{_NAME})*+)")
_MARK = re.compile(rf"([.#])({_NAME})")
_STATES = frozenset(
    {"", ":link", ":visited", ":hover", ":active", ":first-child", ":last-child", ":first-of-type", ":last-of-type"}
)
_CONDITION = re.compile(
    r"(?:(?:only\s+)?(?:screen|all)(?:\s+and\s+)?)?"
    r"(?:\(\s*(?:min|max)-(?:device-)?width\s*:\s*[0-9]{1,5}(?:\.[0-9]{1,3})?(?:px|em)\s*\)(?:\s+and\s+)?){0,4}",
    re.IGNORECASE,
)
_FETCHES = re.compile(r"\burl\(|@import\b", re.IGNORECASE)
_MOST_STEPS = 8


def class_names(value: str) -> str:
    """Return the classes of an attribute under names that no page has."""
    return " ".join(f"m-{one}" for one in value.split()[:MAX_CLASSES] if _CLASS.fullmatch(one))


def id_name(value: str) -> str:
    """Return an id as a class under a name that no page has: a real one could stand for something in the page's own script."""
    return f"i-{value}" if _CLASS.fullmatch(value) else ""


def safe_sheet(text: str, scope: str) -> tuple[str, int]:
    """Return the safe rules of a style sheet within elements of the class `scope`, and how many things it would have fetched."""
    text = text[:MAX_SHEETS]
    fetches = len(_FETCHES.findall(text))
    reader = _Reader(_COMMENT.sub(" ", text), scope)
    return "".join(reader.rules(0)), fetches


class _Reader:
    def __init__(self, text: str, scope: str) -> None:
        self.text = text
        self.scope = scope
        self.at = 0

    def rules(self, depth: int) -> list[str]:
        """Read rules to the end of the block, or of the sheet."""
        out: list[str] = []
        while self.at < len(self.text):
            found = _PRELUDE.match(self.text, self.at)
            prelude = found[0].strip() if found else ""
            self.at = found.end() if found else self.at
            mark = self.text[self.at : self.at + 1]
            self.at += 1
            if mark == "{":
                out += self._block(prelude, depth)
            elif mark == "}" and depth:
                break
        return out

    def _block(self, prelude: str, depth: int) -> list[str]:
        if prelude.startswith("@"):
            name, _, condition = prelude.partition(" ")
            condition = " ".join(condition.split())
            if name.lower() == "@media" and not depth and condition and _CONDITION.fullmatch(condition):
                inner = self.rules(depth + 1)
                return [f"@media {condition.lower()}{{", *inner, "}"] if inner else []
            self._skip()
            return []
        opened = _BRACES.search(self.text, self.at)
        if opened is not None and opened[0] == "{":  # blocks within a rule: nesting, or what was not closed
            self._skip()
            return []
        end = opened.start() if opened else len(self.text)
        body, self.at = self.text[self.at : end], end + 1
        selectors = [one for one in map(self._selector, prelude.split(",")) if one]
        declarations = safe_style(body)[0] if selectors else ""
        return [f"{','.join(selectors)}{{{declarations}}}"] if declarations else []

    def _skip(self) -> None:
        """Go behind the end of the block that has begun."""
        depth = 1
        while depth:
            found = _BRACES.search(self.text, self.at)
            if found is None:
                self.at = len(self.text)
                return
            depth += 1 if found[0] == "{" else -1
            self.at = found.end()

    def _selector(self, text: str) -> str:
        """Return a selector of elements of the message; nothing when it says more than we let it."""
        steps = text.replace(">", " > ").split()
        if not 0 < len(steps) <= _MOST_STEPS or steps[0] == ">" or steps[-1] == ">":
            return ""
        out = [f".{self.scope}"]
        for index, step in enumerate(steps):
            if step == ">":
                out.append(">")
                continue
            found = _COMPOUND.fullmatch(step)
            if found is None or found[3].lower() not in _STATES:
                return ""
            name, marks, state = (found[1] or "").lower(), found[2], found[3].lower()
            if name in {"html", "body", "head"}:
                if index and steps[index - 1] == ">":
                    out.pop()
                # the body of the message is the box itself
                if marks or state or name == "head":
                    return ""
                continue
            written = _MARK.sub(lambda one: f".{'m' if one[1] == '.' else 'i'}-{one[2]}", marks)
            out.append(f"{name}{written}{state}")
        return " ".join(out) if out[-1] != ">" else ""
