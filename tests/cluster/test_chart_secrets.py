"""The job that makes keys: one seed gives all of them, always the same, in the form that the services read."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_dev.backends import nats
from petitbleu_kit.identity import Signer, Verifier
from petitbleu_store.adapters.keyring import FileKeyEncryption

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "helm" / "petitbleu" / "files"))
import make_secrets

SEED = make_secrets.Seed(bytes(range(32)))


def test_on_the_bus_a_service_may_do_what_it_may_in_the_embedded_stack() -> None:
    assert set(make_secrets.SERVICES) == set(nats.ACCESS)
    for service in make_secrets.SERVICES:
        assert make_secrets.permissions(service) == nats.permissions(service)


def test_services_know_each_other_by_the_keys_that_are_made(tmp_path: Path) -> None:
    made = make_secrets.keys("mail", SEED)
    for name, text in made["mail-identity"].items():
        (tmp_path / name).write_text(text)
    private = tmp_path / "identity.key"
    private.write_text(made["mail-ingest-keys"]["identity.key"])
    token = Signer.from_file("ingest", private).service_token("store")
    assert Verifier("store", tmp_path).verify(token)["iss"] == "ingest"


async def test_store_reads_the_key_encryption_keys(tmp_path: Path) -> None:
    file = tmp_path / "kek.json"
    file.write_text(make_secrets.keys("mail", SEED)["mail-store-keys"]["kek.json"])
    keyring = FileKeyEncryption(file)
    assert await keyring.unwrap(await keyring.wrap(bytes(32), b"test"), b"test") == bytes(32)


def test_a_run_that_was_cut_off_is_finished_with_the_same_keys() -> None:
    again = make_secrets.Seed(bytes(range(32)))
    assert make_secrets.keys("mail", again) == make_secrets.keys("mail", SEED)
    assert make_secrets.backends("mail", "petitbleu", again) == make_secrets.backends("mail", "petitbleu", SEED)
    assert make_secrets.keys("mail", make_secrets.Seed(bytes(32))) != make_secrets.keys("mail", SEED)


def test_no_two_secrets_are_the_same() -> None:
    """What one service knows tells nothing about another's."""
    made = make_secrets.keys("mail", SEED)
    values = [value for keys in made.values() for value in keys.values()]
    assert len(values) == len(set(values))
    told = make_secrets.backends("mail", "petitbleu", SEED)
    passwords = [told[f"mail-{service}-backends"]["PETITBLEU_NATS_PASSWORD"] for service in make_secrets.SERVICES]
    assert len(set(passwords)) == len(passwords)


@given(st.binary(min_size=32, max_size=32), st.text())
def test_a_password_needs_quoting_nowhere(octets: bytes, purpose: str) -> None:
    password = make_secrets.Seed(octets).password(purpose)
    assert len(password) == 32
    assert password.replace("-", "a").replace("_", "a").isalnum()


@given(st.binary(min_size=32, max_size=32))
def test_each_seed_gives_keys(octets: bytes) -> None:
    kek = json.loads(make_secrets.keys("mail", make_secrets.Seed(octets))["mail-store-keys"]["kek.json"])
    assert len(base64.b64decode(kek["keys"][kek["active"]])) == 32


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        make_secrets.Seed(b"short")


def test_the_certificate_is_for_the_doors_and_no_longer_than_clients_accept() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = make_secrets.certificate(["mx.example.org", "mail.example.org"], now)
    read = x509.load_pem_x509_certificate(made["tls.crt"].encode())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx.example.org", "mail.example.org"]
    assert read.not_valid_after_utc - now <= dt.timedelta(days=397)


def test_bodies_can_be_read_by_store_alone() -> None:
    told = make_secrets.backends("mail", "bodies", SEED)
    identities = json.loads(told["mail-seaweedfs"]["s3.json"])["identities"]
    assert [each["name"] for each in identities] == ["store"]
    assert all(action.endswith(":bodies") for each in identities for action in each["actions"])
    assert [name for name, values in told.items() if "PETITBLEU_S3_SECRET_KEY" in values] == ["mail-store-backends"]
