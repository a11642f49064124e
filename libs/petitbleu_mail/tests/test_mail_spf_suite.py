"""Every case of the RFC 7208 test suite."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from libs.petitbleu_mail.tests.dns_zone import TIMEOUT, Zone

from petitbleu_mail.auth.spf import check_mail_from

DATA = Path(os.environ.get("PETITBLEU_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
SUITE = DATA / "spf" / "rfc7208-tests.yml"
DEFAULT = "DEFAULT"  # the suite's word for "no explanation of the domain's own"


def text(value: str | list[str]) -> bytes:
    """A TXT record of the suite: character-strings without anything between them."""
    return "".join([value] if isinstance(value, str) else value).encode("latin-1")


def zone(data: dict[str, list[Any]]) -> Zone:
    """The suite's zone; a record of type SPF stands for a TXT record unless the name has TXT records of its own."""
    names: dict[str, list[tuple[str, Any]]] = {}
    for name, records in data.items():
        of_its_own = any(isinstance(one, dict) and "TXT" in one for one in records)
        found = names.setdefault(name, [])
        for record in records:
            if record == TIMEOUT:
                found.append((TIMEOUT, None))
                continue
            ((kind, value),) = record.items()
            if (kind == "SPF" and not of_its_own) or (kind == "TXT" and value != "NONE"):
                found.append(("TXT", text(value)))
            elif kind == "MX":
                found.append(("MX", tuple(value)))
            elif kind not in {"SPF", "TXT"}:
                found.append((kind, value))
    return Zone(names)


def cases() -> list[Any]:
    if not SUITE.exists():
        return []
    return [
        pytest.param(one, document["zonedata"], id=f"{document['description']}-{name}".replace(" ", "_"))
        for document in yaml.safe_load_all(SUITE.read_text("utf-8"))
        for name, one in document["tests"].items()
    ]


CASES = cases()


@pytest.mark.skipif(not CASES, reason=f"NO TEST DATA in {DATA}: set PETITBLEU_TEST_DATA")
def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203


@pytest.mark.parametrize(("case", "names"), CASES)
async def test_rfc7208_suite(case: dict[str, Any], names: dict[str, list[Any]]) -> None:
    resolver = zone(names)
    outcome = await check_mail_from(resolver, ip_address(case["host"]), case["mailfrom"], case["helo"])
    wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert outcome.result.value in wanted, outcome.problem
    if "explanation" in case:
        assert outcome.explanation == (None if case["explanation"] == DEFAULT else case["explanation"])
    # RFC 7208 §4.6.4: the first record, ten terms with eleven queries each, an explanation, and the macro p
    assert len(resolver.asked) <= 1 + 10 * 11 + 1 + 11
