"""ARC: the whole suite of the shared data, validation and signing (RFC 8617), and what it leaves open."""

from __future__ import annotations

import itertools
import re
from typing import Any, NamedTuple

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from libs.petitbleu_mail.tests.dns_texts import DATA, Texts, as_sent, sample

from petitbleu_mail.auth.arc import ArcVerdict, verify_chain
from petitbleu_mail.auth.arc_seal import arc_set, own_results
from petitbleu_mail.auth.canonical import BodyHashes
from petitbleu_mail.auth.dkim_record import KeyRing, Result
from petitbleu_mail.auth.dkim_sign import SigningKey, signing_body
from petitbleu_mail.auth.fields import Fields, split_message


class Case(NamedTuple):
    name: str
    test: dict[str, Any]
    scenario: dict[str, Any]

    @property
    def message(self) -> bytes:
        return as_sent(self.test["message"].encode())

    @property
    def keys(self) -> KeyRing:
        return KeyRing(
            Texts({name: (text.encode(),) for name, text in (self.scenario.get("txt-records") or {}).items()})
        )


def cases(*files: str) -> list[Case]:
    scenarios = itertools.chain.from_iterable(
        yaml.safe_load_all((DATA / "arc" / name).read_bytes()) for name in files if (DATA / "arc" / name).exists()
    )
    return [Case(name, test, scenario) for scenario in scenarios for name, test in scenario["tests"].items()]


VALIDATION = cases("arc-draft-validation-tests.yml")
SIGNING = cases("arc-draft-sign-tests.yml", "unused_tests.yml")
needs_data = pytest.mark.skipif(not VALIDATION, reason=f"NO TEST DATA in {DATA}: set PETITBLEU_TEST_DATA")


@needs_data
@pytest.mark.parametrize("case", VALIDATION, ids=lambda case: case.name)
async def test_rfc8617_5_2_validation_suite(case: Case) -> None:
    found = await verify_chain(case.message, case.keys)
    # three cases leave the verdict blank, as the drafts did of a seal with cv=fail; RFC 8617 §5.2 says fail
    wanted = "None" if case.test["cv"] is None else case.test["cv"] or "Fail"
    assert found.result.title() == wanted, found.reason
    assert bool(found.reason) == (wanted == "Fail")


@needs_data
def test_rfc8617_5_2_the_suite_is_whole() -> None:
    blank = [case.name for case in VALIDATION if case.test["cv"] == ""]
    assert (len(VALIDATION), len(SIGNING)) == (171, 24)
    assert blank == ["cv_fail_i1_as_cv_fail", "cv_fail_i2_as2_fail", "cv_fail_i2_as1_fail"]


def tags_of(text: str) -> set[str]:
    return {re.sub(r"\s", "", tag) for tag in text.split(";") if tag.strip()}


def seal(case: Case, chain: ArcVerdict) -> bytes:
    key = load_pem_private_key(case.scenario["privatekey"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    header, start = split_message(case.message)
    fields, hashes = Fields(header), BodyHashes()
    body = signing_body(hashes)
    hashes.take([case.message[start:]])
    service = case.test["srv-id"]
    return arc_set(
        fields,
        body,
        chain,
        SigningKey(case.scenario["domain"], case.scenario["sel"], key),
        (service, own_results(fields, service)),
        case.test["t"],
        names=[name.encode() for name in case.test["sig-headers"].split(":")],
        line=998,
    )


# Of the suite's file of tests that it leaves out: their signatures are of other octets than those beside them.
STALE = {
    "header_order",
    "header_dup_ord1",
    "header_dup_ord2",
    "sig_header_dup_once",
    "sig_header_dup_twice",
    "header_non",
}


@needs_data
@pytest.mark.parametrize("case", SIGNING, ids=lambda case: case.name)
async def test_rfc8617_5_1_signing_suite(case: Case) -> None:
    """To the octet: RSA signs the same octets to the same signature. The suite seals a message signature without folds in b=."""
    chain = await verify_chain(case.message, case.keys)
    whole = seal(case, chain)
    made = Fields(whole)
    for name, wanted in (("arc-seal", "AS"), ("arc-message-signature", "AMS"), ("arc-authentication-results", "AAR")):
        ours = tags_of("".join(made.value(index).decode() for index in made.indexes(name.encode())))
        theirs = tags_of(case.test[wanted])
        if case.name in STALE:
            ours, theirs = ({tag for tag in tags if not tag.startswith("b=")} for tags in (ours, theirs))
        assert ours == theirs, name
    if not case.test["AS"].strip():
        assert whole == b""
        return
    sealed = await verify_chain(whole + case.message, case.keys)
    assert sealed.highest == chain.highest + 1
    assert sealed.passed == (chain.result is not Result.FAIL)
    assert sealed.sealed_as_failed == (chain.result is Result.FAIL)


@needs_data
async def test_rfc8617_5_2_samples_with_their_keys() -> None:
    """The two chains of the samples: one of Google's, whose list changed the message since, one of both kinds of key."""
    paths = sorted((DATA / "auth" / "arc").glob("*.txt"))
    verdicts = []
    for path in paths:
        message, texts = sample(path)
        verdicts.append(await verify_chain(message, KeyRing(texts)))
        assert (
            await verify_chain(message + b"x\r\n", KeyRing(texts))
        ).reason == "message signature: body hash did not verify"
    assert [one.result for one in verdicts] == [Result.PASS, Result.PASS]
    assert [one.sealers for one in verdicts] == [("google.com",), ("scamorza.org", "manchego.org")]


@needs_data
async def test_rfc8617_5_2_spamassassins_samples_have_no_key() -> None:
    folder = DATA / "dkim" / "arc"
    without, chained = [as_sent((folder / name).read_bytes()) for name in ("ko01.eml", "ok01.eml")]
    assert (await verify_chain(without, KeyRing(Texts({})))).result is Result.NONE
    found = await verify_chain(chained, KeyRing(Texts({})))
    assert (found.result, found.reason) == (Result.FAIL, "message signature: no key")
    # so all but the key is right: a changed body is seen before the key is asked for
    assert (await verify_chain(chained + b"x\r\n", KeyRing(Texts({})))).reason.endswith("body hash did not verify")
    away = KeyRing(Texts({"t0768._domainkey.sa-test.spamassassin.org": None}))
    assert (await verify_chain(chained, away)).result is Result.TEMPERROR
