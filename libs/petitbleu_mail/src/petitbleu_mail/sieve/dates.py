"""`date` and `currentdate` (RFC 5260 §4, §5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from petitbleu_mail.header_values import SentAt, as_date
from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call, TagSpec, Want
from petitbleu_mail.sieve.header_tests import Index, check_field_names, make_index
from petitbleu_mail.sieve.matching import Match, make_match
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

CURRENT_TAGS: Final = {"zone": TagSpec(Want.STRING, group="time zone")}
DATE_TAGS: Final = CURRENT_TAGS | {"originalzone": TagSpec(group="time zone")}

_ZONE: Final = re.compile(r"([+-])([0-9]{2})([0-5][0-9])")
_MODIFIED_JULIAN_DAY_0: Final = 678_576  # the ordinal of 17 November 1858
_WEEKDAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _zone(when: datetime) -> str:
    minutes = int((when.utcoffset() or timedelta()).total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"


def _iso8601(when: datetime) -> str:
    zone = _zone(when)
    return f"{when:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def _std11(when: datetime) -> str:
    # RFC 5322 §3.3, whatever the language of this machine
    day = _WEEKDAYS[when.isoweekday() % 7]
    return f"{day}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04} {when:%H:%M:%S} {_zone(when)}"


# RFC 5260 §4.2
_PARTS: Final[dict[str, Callable[[datetime], str]]] = {
    "year": lambda when: f"{when.year:04}",
    "month": lambda when: f"{when.month:02}",
    "day": lambda when: f"{when.day:02}",
    "date": lambda when: f"{when.year:04}-{when.month:02}-{when.day:02}",
    "julian": lambda when: str(when.toordinal() - _MODIFIED_JULIAN_DAY_0),
    "hour": lambda when: f"{when.hour:02}",
    "minute": lambda when: f"{when.minute:02}",
    "second": lambda when: f"{when.second:02}",
    "time": lambda when: f"{when:%H:%M:%S}",
    "iso8601": _iso8601,
    "std11": _std11,
    "zone": _zone,
    "weekday": lambda when: str(when.isoweekday() % 7),
}


def _offset(zone: str) -> timezone | None:
    """Return the time zone that `+hhmm` means (RFC 5260 §4.1), None when it is none."""
    found = _ZONE.fullmatch(zone)
    if found is None or int(found[2]) > 23:
        return None
    away = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-away if found[1] == "-" else away)


@dataclass(frozen=True, slots=True)
class DateTest:
    """`date`, or `currentdate` where `name` is None."""

    place: Place
    match: Match
    index: Index | None
    name: Text | None
    part: Text
    zone: Text | None
    original: bool
    keys: tuple[Text, ...]

    def check(self, machine: Machine) -> bool:
        """Whether a part of a date matches. What is no date matches nothing (RFC 5260 §4)."""
        values = []
        for seconds, offset in self._instants(machine):
            show = _PARTS.get(machine.expand(self.part).lower())
            if show is not None:
                try:
                    values.append(
                        show(datetime.fromtimestamp(seconds, UTC).astimezone(self._wanted_zone(machine, offset)))
                    )
                except (OverflowError, ValueError):  # at the ends of the calendar
                    continue
        return self.match.any(machine, values, self.keys)

    def _instants(self, machine: Machine) -> list[SentAt]:
        if self.name is None:
            return [SentAt(int(machine.now.timestamp()), 0)]
        fields = machine.header.raw(machine.expand(self.name))
        machine.spend(1 + 5 * len(fields))
        # RFC 5260 §4: of a field with more in it, such as Received, what is behind the last semicolon
        dates = [as_date(raw.rpartition(b";")[2]) for raw in (self.index.pick(fields) if self.index else fields)]
        return [date for date in dates if date is not None]

    def _wanted_zone(self, machine: Machine, original: int) -> timezone | None:
        if self.original:
            return timezone(timedelta(minutes=original))
        if self.zone is None:  # RFC 5260 §4.1: the local one; that is the one in which it is now
            offset = machine.now.utcoffset()
            return UTC if offset is None else timezone(offset)
        zone = _offset(machine.expand(self.zone))
        if zone is None:
            raise machine.fail("this is no time zone: + or -, two digits of hours, two of minutes")
        return zone


def make_date(call: Call) -> DateTest:
    """RFC 5260 §4 and §5."""
    with_field = call.name == "date"
    zone = call.tag_text("zone")
    if zone is not None and zone.constant is not None and _offset(zone.constant) is None:
        raise call.fault(
            f"{zone.constant[:20]!r} is no time zone: + or -, two digits of hours, two of minutes", zone.place
        )
    part = call.text(1 if with_field else 0)
    if part.constant is not None and part.constant.lower() not in _PARTS:
        raise call.fault(f"{part.constant[:20]!r} is no part of a date; there are {', '.join(_PARTS)}", part.place)
    if with_field:
        check_field_names(call, call.texts(0))
    return DateTest(
        place=call.place,
        match=make_match(call),
        index=make_index(call) if with_field else None,
        name=call.text(0) if with_field else None,
        part=part,
        zone=zone,
        original="originalzone" in call.tags,
        keys=call.texts(2 if with_field else 1),
    )
