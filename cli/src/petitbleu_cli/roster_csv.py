"""A class's roster as a file (RFC 4180, comma or semicolon): a header with `address`, `role` and perhaps `name`, then a row a member.

Names are for those who read the file; they are not sent anywhere.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from petitbleu_mail.addresses import AddressError, parse_mailbox

MAX_OCTETS: Final = 1 << 20
MAX_ROWS: Final = 100
ROLES: Final = ("child", "teacher")
_COLUMNS: Final = frozenset({"name", "address", "role"})
_NEEDED: Final = frozenset({"address", "role"})
# What a spreadsheet would compute when somebody opens the file again.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class RosterRow(NamedTuple):
    """A member, and the line that names it."""

    line: int
    address: str
    role: str


class RosterError(Exception):
    """A file is no roster; `faults` are lines with what is wrong with them, line 0 for the file as a whole."""

    def __init__(self, faults: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"line {line}: {why}" if line else why for line, why in faults))
        self.faults = tuple(faults)


def parse_roster(octets: bytes) -> list[RosterRow]:
    """Read a roster.

    Raises:
        RosterError: anything is wrong with any line; nothing of it is to be used then.
    """
    rows = list(_rows(_text(octets)))  # RFC 4180 §2, with semicolons too
    if not rows:
        raise RosterError([(0, "the file is empty: its first line is to be address,role or name,address,role")])
    columns = [cell.strip().lower() for cell in rows[0][1]]
    if set(columns) - _COLUMNS or _NEEDED - set(columns) or len(set(columns)) < len(columns):
        raise RosterError([(rows[0][0], "the first line is to be address,role or name,address,role")])
    if len(rows) > MAX_ROWS + 1:
        raise RosterError([(0, f"a class has at most {MAX_ROWS} members")])
    found: list[RosterRow] = []
    faults: list[tuple[int, str]] = []
    seen: set[str] = set()
    for line, cells in rows[1:]:
        try:
            row, address = _row(line, columns, cells)
        except ValueError as error:
            faults.append((line, str(error)))
            continue
        if address in seen:
            faults.append((line, "the address is in an earlier line"))
        seen.add(address)
        found.append(row)
    if faults:
        raise RosterError(faults)
    return found


def _text(octets: bytes) -> str:
    if len(octets) > MAX_OCTETS:
        raise RosterError([(0, "the file is larger than a roster may be (1 MiB)")])
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RosterError([(0, "the file is not UTF-8 (Latin-1 perhaps): save it as CSV UTF-8")]) from None
    if "\0" in text:
        raise RosterError([(0, "the file is not text")])
    return text


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that say anything, each with the number of its first line."""
    first = text.split("\n", 1)[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True
    )
    before = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise RosterError([(before + 1, "it is no CSV: quotes that do not end, or a cell without end")]) from None
        if any(cell.strip() for cell in cells):
            yield before + 1, cells
        before = reader.line_num


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> tuple[RosterRow, str]:
    """Read a row; return it, and its address in the form that is the same for one mailbox. Raises `ValueError` with what is wrong."""
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} cells and not {len(columns)}")
    if any(cell.lstrip(" ").startswith(_FORMULA) for cell in cells):
        raise ValueError("a cell begins as a formula does")
    values = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    role = values["role"].lower()
    if role not in ROLES:
        raise ValueError("the role is child or teacher")
    try:
        address = parse_mailbox(values["address"]).canonical().address
    except AddressError:
        raise ValueError("not a mail address") from None
    return RosterRow(line, values["address"], role), address
