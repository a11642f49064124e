"""Each service is told what it needs and nothing else; backends are as durable and as quiet as promised."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from petitbleu_dev import services
from petitbleu_dev.backends import nats, postgres, redis, seaweedfs
from petitbleu_dev.backends.context import Context
from petitbleu_dev.layout import GRPC_SERVICES, HEALTH_PORTS, Layout, Ports
from petitbleu_dev.offspring import Offspring


@pytest.fixture
def context(tmp_path: Path) -> Context:
    layout = Layout(tmp_path)
    layout.create()
    return Context(layout, Ports(7), Offspring(tmp_path), print)


@pytest.mark.parametrize("service", HEALTH_PORTS)
def test_a_service_gets_its_own_credentials_only(context: Context, service: str) -> None:
    every = {name: services.environment(context, name) for name in HEALTH_PORTS}
    secrets = {
        file.read_text() for file in context.layout.secrets.iterdir() if not file.name.startswith("postgres-postgres")
    }
    told = "\n".join(f"{name}={value}" for name, value in every[service].items())
    seen = {secret for secret in secrets if secret in told}
    own = {nats.password(context, service)}
    if service in GRPC_SERVICES:
        own |= {secret for secret in secrets if secret in every[service]["PETITBLEU_PG_DSN"]}
    if service == "store":
        own |= {seaweedfs.access_key(context), seaweedfs.secret_key(context)}
    assert seen == own
    assert every[service]["PETITBLEU_IDENTITY_KEY"].endswith(f"/{service}.key")


def test_the_edges_are_those_of_the_architecture(context: Context) -> None:
    def targets(service: str) -> set[str]:
        return {name for name in services.environment(context, service) if name.endswith("_TARGET")}

    assert targets("store") == set()
    assert targets("accounts") == {"PETITBLEU_STORE_TARGET"}
    assert targets("junior-guard") == {"PETITBLEU_STORE_TARGET", "PETITBLEU_ACCOUNTS_TARGET"}
    assert targets("delivery") == {
        "PETITBLEU_STORE_TARGET",
        "PETITBLEU_ACCOUNTS_TARGET",
        "PETITBLEU_JUNIOR_GUARD_TARGET",
    }


def test_only_some_services_reach_some_backends(context: Context) -> None:
    every = {name: services.environment(context, name) for name in HEALTH_PORTS}
    assert {name for name, told in every.items() if "PETITBLEU_PG_DSN" in told} == set(GRPC_SERVICES)
    assert {name for name, told in every.items() if "PETITBLEU_REDIS_URL" in told} == {"ingest", "gateway", "accounts"}
    assert {name for name, told in every.items() if "PETITBLEU_S3_SECRET_KEY" in told} == {"store"}
    assert {name for name, told in every.items() if "PETITBLEU_KEK_FILE" in told} == {"store"}
    assert {name for name, told in every.items() if "PETITBLEU_TLS_KEY" in told} == {"ingest", "gateway"}
    assert {name for name, told in every.items() if "PETITBLEU_DELIVERY_KEY_FILE" in told} == {"delivery"}
    assert {name for name, told in every.items() if "PETITBLEU_OPERATOR_TOKEN_FILE" in told} == set(GRPC_SERVICES)


def test_the_callers_settings_are_handed_down_and_its_secrets_are_not(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETITBLEU_OUTBOUND_RELAY", "127.0.0.1:9")
    monkeypatch.setenv("PETITBLEU_OPERATOR_TOKEN", "secret")
    monkeypatch.setenv("PETITBLEU_PORT_OFFSET", "99")
    monkeypatch.setenv("UNRELATED", "x")
    told = services.environment(context, "delivery")
    assert told["PETITBLEU_OUTBOUND_RELAY"] == "127.0.0.1:9"
    assert told["PETITBLEU_PORT_OFFSET"] == "7"
    assert "PETITBLEU_OPERATOR_TOKEN" not in told
    assert "UNRELATED" not in told


def test_a_dsn_names_role_database_and_socket(context: Context) -> None:
    parts = urlsplit(postgres.dsn(context, "junior_guard"))
    assert (parts.username, parts.path, parts.hostname) == ("junior_guard", "/petitbleu", None)
    assert parse_qs(parts.query)["host"] == [str(context.layout.postgres_socket)]
    assert parts.password == (context.layout.secrets / "postgres-junior_guard").read_text()


def test_postgres_is_durable_and_its_log_says_no_content() -> None:
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_statement": "none",
        "log_min_duration_statement": "-1",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "listen_addresses": "",
    }
    assert wanted.items() <= postgres.SETTINGS.items()


def test_publishing_is_for_the_owner_of_a_stream() -> None:
    publishers = {
        subject: {name for name in nats.ACCESS if subject in nats.permissions(name)["publish"]}
        for subject in ("mail.>", "accounts.>")
    }
    assert publishers == {"mail.>": {"store"}, "accounts.>": {"accounts"}}
    assert nats.permissions("ingest")["subscribe"] == ["_INBOX.>", "accounts.>"]
    assert not any("CONSUMER" in subject for subject in nats.permissions("ingest")["publish"])


def test_nobody_may_delete_or_purge_a_stream_or_act_for_another() -> None:
    for service in nats.ACCESS:
        for subject in nats.permissions(service)["publish"]:
            assert not subject.startswith(("$JS.API.STREAM.DELETE", "$JS.API.STREAM.PURGE", "$JS.API.>", "$JS.>"))
            if "CONSUMER" in subject or "$JS.ACK" in subject:
                assert service in subject.split(".")


def test_nats_listens_on_this_machine_only_and_has_no_monitoring_door(context: Context) -> None:
    settings = json.loads(nats.configuration(context))
    assert settings["listen"] == "127.0.0.1:24229"
    assert not {"http", "http_port", "https_port", "monitor_port"} & set(settings)
    assert settings["jetstream"]["store_dir"] == str(context.layout.nats)
    assert {user["user"] for user in settings["authorization"]["users"]} == {*nats.ACCESS, "operator"}


def test_the_s3_identity_is_limited_to_its_bucket(context: Context) -> None:
    (identity,) = json.loads(seaweedfs.identities(context))["identities"]
    assert identity["name"] == "store"
    assert {action.partition(":")[2] for action in identity["actions"]} == {"petitbleu"}
    assert "Admin:petitbleu" not in identity["actions"]


def test_seaweedfs_and_redis_stay_on_this_machine(context: Context) -> None:
    weed = " ".join(seaweedfs.program(context).argv)
    assert "-ip.bind=127.0.0.1" in weed
    assert "-master.telemetry=false" in weed
    assert "-s3.port.iceberg=0 -s3.port.lance=0" in weed
    words = redis.program(context).argv
    assert words[words.index("--port") + 1] == "0"
    assert words[words.index("--save") + 1] == ""
    assert words[words.index("--maxmemory-policy") + 1] == "allkeys-lru"


def test_indexes_are_rebuilt_only_after_the_machine_stopped_under_the_server(context: Context) -> None:
    volumes = context.layout.seaweedfs / "volumes"
    volumes.mkdir()
    marker = context.layout.seaweedfs / "running"
    assert not seaweedfs._index_may_lag(context)
    marker.write_text("another boot")
    assert not seaweedfs._index_may_lag(context)
    (volumes / "1.dat").touch()
    assert seaweedfs._index_may_lag(context)
    marker.write_text(seaweedfs._boot())
    assert not seaweedfs._index_may_lag(context)
    (volumes / "1.idx").touch()
    marker.write_text("another boot")
    seaweedfs._cleanup(context)
    assert not seaweedfs._index_may_lag(context)
