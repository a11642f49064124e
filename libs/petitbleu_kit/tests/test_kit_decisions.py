"""Tokens of decisions: each says what was decided, of what was decided, and nothing of anything else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_kit.decisions import VERDICTS, Decision, tokens_of, verdict_in
from petitbleu_kit.identity import IdentityError, Signer, Verifier

KEY = Ed25519PrivateKey.generate()
ids = st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), st.binary(min_size=16, max_size=16))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "junior-guard.pub").write_bytes(
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return Verifier("store", folder)


@given(st.dictionaries(ids, st.sampled_from(VERDICTS), max_size=80), ids)
def test_each_decision_is_in_its_token_and_no_other_is(
    store: Verifier, decided: dict[tuple[int, bytes], str], other: tuple[int, bytes]
) -> None:
    decisions: list[Decision] = [(*key, verdict) for key, verdict in decided.items()]
    tokens = tokens_of(Signer("junior-guard", KEY), decisions, 60)
    assert len(set(tokens)) == -(-len(decisions) // 32)
    for (account, accepted, verdict), token in zip(decisions, tokens, strict=True):
        claims = store.verify(token, issuer="junior-guard", use="decision")
        assert verdict_in(claims, account, accepted) == verdict
        assert other in decided or verdict_in(claims, *other) == ""


def test_a_token_of_somebody_elses_is_none(store: Verifier) -> None:
    (token,) = tokens_of(Signer("junior-guard", Ed25519PrivateKey.generate()), [(1, bytes(16), "deliver")], 60)
    with pytest.raises(IdentityError):
        store.verify(token, issuer="junior-guard", use="decision")


@given(
    st.dictionaries(st.sampled_from(["made", "account", "accepted", "verdict"]), st.text() | st.integers() | st.none())
)
def test_whatever_claims_say_nothing_is_read_into_them(claims: dict[str, object]) -> None:
    found = verdict_in(claims, 7, b"x" * 16)
    assert found == "" or (claims.get("accepted") == (b"x" * 16).hex() and str(claims.get("account")) == "7")
