"""Tokens are believed only from the right issuer, for the right audience, in time, and unaltered."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from petitbleu_kit.identity import (
    IdentityError,
    OperatorToken,
    Principal,
    PrincipalVerifier,
    Signer,
    Verifier,
    principal_claims,
)

MakeSigner = Callable[[str], Signer]


@pytest.fixture
def make_signer(tmp_path: Path) -> MakeSigner:
    def make(service: str) -> Signer:
        key = Ed25519PrivateKey.generate()
        (tmp_path / f"{service}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (tmp_path / f"{service}.pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return Signer.from_file(service, tmp_path / f"{service}.key")

    return make


def test_service_token_names_its_issuer(make_signer: MakeSigner, tmp_path: Path) -> None:
    token = make_signer("ingest").service_token("store")
    assert Verifier("store", tmp_path).verify(token, use="service")["iss"] == "ingest"


def test_service_token_is_for_one_audience(make_signer: MakeSigner, tmp_path: Path) -> None:
    token = make_signer("ingest").service_token("store")
    with pytest.raises(IdentityError):
        Verifier("accounts", tmp_path).verify(token)


def test_expired_token_is_refused_even_when_remembered(make_signer: MakeSigner, tmp_path: Path) -> None:
    signer = make_signer("ingest")
    verifier = Verifier("store", tmp_path)
    with pytest.raises(IdentityError):
        verifier.verify(signer.sign("store", {"use": "service"}, -60))


def test_every_altered_character_is_noticed(make_signer: MakeSigner, tmp_path: Path) -> None:
    token = make_signer("ingest").service_token("store")
    verifier = Verifier("store", tmp_path)
    for place in range(0, len(token) - 2, 7):
        altered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(IdentityError):
            verifier.verify(altered)


def test_a_service_cannot_sign_as_another(make_signer: MakeSigner, tmp_path: Path) -> None:
    make_signer("accounts")
    impostor = make_signer("delivery")
    impostor.service = "accounts"
    with pytest.raises(IdentityError):
        PrincipalVerifier(tmp_path).principal(impostor.sign("petitbleu", principal_claims(Principal(1, 1, (), 0)), 60))


def test_principal_comes_back_whole_and_only_from_accounts(make_signer: MakeSigner, tmp_path: Path) -> None:
    person = Principal(
        account_id=1 << 60, tenant_id=5, roles=("person", "guardian"), session_id=9, guarded=True, cooling_until=9
    )
    verifier = PrincipalVerifier(tmp_path)
    assert verifier.principal(make_signer("accounts").sign("petitbleu", principal_claims(person), 60)) == person
    with pytest.raises(IdentityError):
        verifier.principal(make_signer("gateway").sign("petitbleu", principal_claims(person), 60))


def test_service_token_is_no_principal(make_signer: MakeSigner, tmp_path: Path) -> None:
    token = make_signer("accounts").sign("petitbleu", {"use": "service", "sub": "1", "tenant": 1}, 60)
    with pytest.raises(IdentityError):
        PrincipalVerifier(tmp_path).principal(token)


def test_rotated_key_is_read_again(make_signer: MakeSigner, tmp_path: Path) -> None:
    verifier = Verifier("store", tmp_path)
    verifier.verify(make_signer("ingest").service_token("store"))
    assert verifier.verify(make_signer("ingest").service_token("store"))["iss"] == "ingest"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é" * 50, "eyJhbGciOiJub25lIn0.eyJpc3MiOiJpbmdlc3QifQ."])
def test_rubbish_is_refused(token: str, make_signer: MakeSigner, tmp_path: Path) -> None:
    make_signer("ingest")
    with pytest.raises(IdentityError):
        Verifier("store", tmp_path).verify(token)


def test_issuer_cannot_name_a_path(make_signer: MakeSigner, tmp_path: Path) -> None:
    signer = make_signer("ingest")
    signer.service = "../ingest"
    with pytest.raises(IdentityError):
        Verifier("store", tmp_path / "inner").verify(signer.service_token("store"))


def test_operator_token_matches_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "operator.token"
    path.write_text("s3cret\n")
    assert OperatorToken(path).matches("s3cret")
    assert not OperatorToken(path).matches("s3cre")
    assert not OperatorToken(path).matches("")
    assert not OperatorToken(None).matches("s3cret")
    path.write_text("")
    assert not OperatorToken(path).matches("")
