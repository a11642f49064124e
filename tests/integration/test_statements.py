"""Promise 5: every hot statement that the integration tests executed names the partitions that it touches.

The services and the tests append the text of each statement they execute to one file (`PETITBLEU_STATEMENT_LOG`, set by
conftest.py). This module runs last and reads that file.
"""

import json
import os
import re
from pathlib import Path

import pytest

from petitbleu_kit.postgres import STATEMENT_LOG

NAMED = re.compile(r"/\* (hot|cold|reference):([a-z_.-]+[a-z0-9_.-]*) \*/")
# asyncpg's own, transactions and what migrations are made of carry no name.
UNNAMED_ALLOWED = re.compile(
    r"\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET |SHOW |SELECT pg_advisory|SELECT name FROM \w+\.migration"
    r"|CREATE |INSERT INTO \w+\.migration|--|LISTEN|UNLISTEN|CLOSE|RESET|DO |ALTER |GRANT |SELECT\s+t\.oid|SELECT\s+current_setting\('jit'\)|WITH RECURSIVE typeinfo_tree"
    r"|LOCK TABLE|TRUNCATE|DEALLOCATE)",
    re.IGNORECASE,
)
# The statements without which a message cannot be accepted and filed: when one is missing, nothing was looked at.
MUST_HAVE_RUN = ("store.", "accounts.")
# Small, global tables of the directory and of hosted domains, whole on every node of a distributed engine: the only ones without a partition.
REFERENCE_TABLES = {
    "tenant",
    "tenant_mark",
    "domain",
    "account",
    "address",
    "alias_member",
    "retired_address",
    "push_slice",
    "push_sender",
    "dkim_key",
    "key_check",
    "sts_policy",
    "server_secret",
    "bounce_key",
}
TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+(?!unnest\b)([a-z_]+)\b(?!\s*\()")
LOCKING = re.compile(r"FOR\s+(UPDATE|SHARE|NO KEY UPDATE|KEY SHARE)", re.IGNORECASE)


def offences(statement: str) -> list[str]:
    """Say in what a statement breaks promise 5."""
    name = NAMED.search(statement)
    if name is None:
        return (
            []
            if UNNAMED_ALLOWED.match(statement)
            else ["carries no /* hot:… */, /* cold:… */ or /* reference:… */ name"]
        )
    found = []
    if name.group(1) == "reference":
        others = set(TABLE.findall(NAMED.sub("", statement))) - REFERENCE_TABLES
        found += [f"is no statement on reference tables alone: {table}" for table in sorted(others)]
    if name.group(1) == "hot":
        text = NAMED.sub("", statement)
        if "partition" not in text:
            found.append("names no partition")
        verb = text.split(None, 1)[0].upper()
        if verb in {"SELECT", "UPDATE", "DELETE", "WITH"} and not re.search(
            r"(WHERE|ON|AND|JOIN|USING)\b[^;]*\bpartition\b", text, re.IGNORECASE | re.DOTALL
        ):
            found.append("has no condition on partition")
        if LOCKING.search(text) and not re.search(r"partition = \$1\b", text):
            found.append("locks rows without partition = $1")
    return found


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "/* hot:x.a */ SELECT 1 FROM message WHERE account_id = $1",
            ["names no partition", "has no condition on partition"],
        ),
        ("/* hot:x.b */ SELECT 1 FROM m WHERE partition = ANY($1) FOR UPDATE", ["locks rows without partition = $1"]),
        ("/* hot:x.c */ SELECT 1 FROM m WHERE partition = $1 AND id = $2 FOR UPDATE SKIP LOCKED", []),
        ("/* hot:x.d */ INSERT INTO m (partition, id) SELECT * FROM unnest($1::smallint[], $2::bigint[])", []),
        ("/* reference:x.e */ SELECT 1 FROM address a JOIN account c USING (account_id)", []),
        (
            "/* reference:x.f */ SELECT 1 FROM address JOIN person ON true",
            ["is no statement on reference tables alone: person"],
        ),
        ("SELECT secret FROM m", ["carries no /* hot:… */, /* cold:… */ or /* reference:… */ name"]),
    ],
)
def test_the_rule_catches_what_breaks_it(statement: str, expected: list[str]) -> None:
    assert offences(statement) == expected


def test_every_hot_statement_executed_names_its_partitions() -> None:
    path = Path(os.environ.get(STATEMENT_LOG, ""))
    if not path.is_file():
        pytest.skip("NO STATEMENTS RECORDED: no integration test with a database ran before this one")
    statements = {json.loads(line) for line in path.read_text().splitlines()}
    hot = {found.group(2) for text in statements if (found := NAMED.search(text)) and found.group(1) == "hot"}
    wrong = {text[:200]: why for text in sorted(statements) if (why := offences(text))}
    assert not wrong
    for prefix in MUST_HAVE_RUN:
        assert any(name.startswith(prefix) for name in hot), f"no hot statement of {prefix} was executed: {sorted(hot)}"
