"""What is promised, beside what was measured: the table at the end of a run.

A verdict is computed from the measured numbers and from nothing else. What was not measured has no verdict; that a promise
is not met is a result like any other, and does not fail the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

KEPT: Final = "8 KiB, 20 sessions, kept"
NOT_KEPT: Final = "8 KiB, 20 sessions, one mail a connection"


@dataclass(frozen=True)
class Promise:
    """One line of what is promised.

    Args:
        text: What is measured.
        value: Takes it from the results; KeyError or IndexError when it was not measured.
        limit: The limit, in the unit of the value.
        at_most: Whether the limit is the highest that is allowed, else the lowest.
        unit: Printed after the value.
    """

    text: str
    value: Callable[[dict[str, Any]], float | None]
    limit: float
    at_most: bool
    unit: str = ""

    def verdict(self, results: dict[str, Any]) -> tuple[float | None, str]:
        """Return the value and `met`, `NOT MET` or `not measured`."""
        try:
            value = self.value(results)
        except (KeyError, IndexError, ValueError):
            value = None
        if value is None:
            return None, "not measured"
        met = value <= self.limit if self.at_most else value >= self.limit
        return value, "met" if met else "NOT MET"


def _cell(results: dict[str, Any], name: str) -> dict[str, Any]:
    return next((cell for cell in results["mail"] if cell["name"] == name), {})


def _growth(results: dict[str, Any], table: str, unit: str, sizes: tuple[int, int]) -> float:
    """Return the growth from the smaller size to the larger, when these were what was measured."""
    # of several rows of one size, the first: mail to all accounts
    rows = {row[unit]: row for row in reversed(results[table])}
    if min(rows) != sizes[0]:
        raise KeyError(sizes[0])
    return float(rows[sizes[1]]["ratio"])


def _day(results: dict[str, Any], action: str, least: int = 1000) -> float:
    """Return the worst ratio of an action over all sizes of mailboxes of at least so many messages, when the largest was measured."""
    rows = [row for row in results["boxes"] if row["action"] == action]
    if max(row["messages"] for row in rows) < 100_000:
        raise KeyError(action)
    return max(float(row["ratio"]) for row in rows if row["messages"] >= least)


def _out(results: dict[str, Any], destinations: int) -> dict[str, Any]:
    return next((row for row in results["outbound"]["cells"] if row["destinations"] == destinations), {})


PROMISES: Final = (
    Promise("CPU of ours / peer, 8 KiB, 20 sessions, kept", lambda found: _cell(found, KEPT)["cpu_ratio"], 0.40, True),
    Promise("CPU of ours / peer, one mail a connection", lambda found: _cell(found, NOT_KEPT)["cpu_ratio"], 0.50, True),
    Promise("messages/s of ours / peer, kept", lambda found: _cell(found, KEPT)["throughput_ratio"], 2.5, False),
    Promise("messages/s of ours / peer, one mail a conn.", lambda found: _cell(found, NOT_KEPT)["throughput_ratio"], 2.0, False),
    Promise("p99 of visible, lone message, ours / peer",
            lambda found: found["lone"]["ours"]["visible_ms"]["p99"] / found["lone"]["peer"]["visible_ms"]["p99"], 1.0, True),
    Promise("mails in each segment PUT under load", lambda found: found["mails_per_segment_put"], 50, False),
    Promise("CPU of reading, 100,000 / 1,000 messages",
            lambda found: _growth(found, "reads", "messages", (1000, 100_000)), 1.5, True),
    Promise("CPU of delivery, 100,000 / 1,000 accounts",
            lambda found: _growth(found, "accounts", "accounts", (1000, 100_000)), 1.2, True),
    Promise("CPU more by judging, 8 KiB, 20 sessions, kept", lambda found: found["judging"]["more_ms"], 2.0, True, " ms"),
    Promise("CPU of a list of 50, ours / IMAP", lambda found: _day(found, "list"), 4.0, True),
    Promise("CPU of 50 flags, ours / IMAP", lambda found: _day(found, "flags"), 4.0, True),
    Promise("CPU of a search in 100,000, ours / IMAP", lambda found: _day(found, "search", 100_000), 1.0, True),
    Promise("CPU of a search, 1,000,000 of others / alone",
            lambda found: max(row["ratio"] for row in found["search"]["kinds"].values()) if found["search"]["others"] >= 1_000_000 else None,
            1.2, True),
    Promise("PSS more, 2,000 idle push connections",
            lambda found: found["push"]["pss_more_mib"] if found["push"]["connections"] >= 2000 else None, 100, True, " MiB"),
    Promise("p99 of a change told to all who listen",
            lambda found: found["push"]["all_told_ms"]["p99"] if found["push"]["connections"] >= 2000 else None, 200, True, " ms"),
    Promise("messages/s out, ours / Postfix, 1 destination", lambda found: _out(found, 1)["throughput_ratio"], 1.0, False),
    Promise("CPU out, ours / Postfix, 1 destination", lambda found: _out(found, 1)["cpu_ratio"], 1.0, True),
    Promise("messages/s out, ours / Postfix, 1,000 dest.", lambda found: _out(found, 1000)["throughput_ratio"], 1.0, False),
    Promise("CPU out, ours / Postfix, 1,000 destinations", lambda found: _out(found, 1000)["cpu_ratio"], 1.0, True),
    Promise("p99 out of the rest, 10 % hanging / none", lambda found: found["outbound"]["hanging"]["ours"]["ratio"], 1.2, True),
    Promise("CPU of a check of a child's mail", lambda found: max(row["cpu_ms"] for row in found["guard"]), 0.15, True, " ms"),
    Promise("CPU of a check, 100,000 / 1,000 children",
            lambda found: _growth(found, "guard", "children", (1000, 100_000)), 1.2, True),
    Promise("p99 until a page shows that mail waits", lambda found: found["alerts"]["shown_ms"]["p99"], 1000, True, " ms"),
    Promise("failures in a wave of sign-ups, and of mail", lambda found: found["signups"]["failed"] + len(found["signups"]["mail_failed"]), 0, True),
    Promise("p99 of mail, beside a wave / alone", lambda found: max(found["signups"]["ratio"], found["signups"]["accept_ratio"]), 2.0, True),
    Promise("PSS, idle", lambda found: found["idle"]["pss_mib"], 1536, True, " MiB"),
    Promise("CPU, idle", lambda found: found["idle"]["core_percent"], 5, True, " % of a core"),
)  # fmt: skip


def table(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Judge every promise."""
    rows = []
    for promise in PROMISES:
        value, verdict = promise.verdict(results)
        rows.append({
            "promise": promise.text, "value": value, "limit": promise.limit, "at_most": promise.at_most,
            "unit": promise.unit, "verdict": verdict,
        })  # fmt: skip
    return rows


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table as text."""
    text = []
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']:.2f}"
        sign = "<=" if row["at_most"] else ">="
        text.append(
            f"  {row['promise']:45} {value:>9}  {sign} {row['limit']:<7g} {row['verdict']}{row['unit'] and '  (' + row['unit'].strip() + ')'}"
        )
    return text
