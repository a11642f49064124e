"""What the stack keeps in files: secrets, certificates, logs, the layout of its directory."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import os
import ssl
import stat
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_dev import credentials, logfile, preflight
from petitbleu_dev.authority import DNS_NAMES, Certificates, PrivateCircle
from petitbleu_dev.console import Console
from petitbleu_dev.errors import StackError
from petitbleu_dev.layout import HEALTH_PORTS, Layout, Ports

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_password_is_made_once_and_is_private(tmp_path: Path) -> None:
    first = credentials.password(tmp_path, "nats-store")
    assert len(first) >= 32
    assert credentials.password(tmp_path, "nats-store") == first
    assert credentials.password(tmp_path, "nats-ingest") != first
    assert mode(tmp_path / "nats-store") == 0o600


def test_key_encryption_keys_have_the_agreed_form(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    credentials.key_encryption_keys(path)
    kept = path.read_bytes()
    document = json.loads(kept)
    assert document["active"] == "1"
    assert len(base64.b64decode(document["keys"]["1"])) == 32
    credentials.key_encryption_keys(path)
    assert path.read_bytes() == kept
    assert mode(path) == 0o600


def test_an_identity_is_a_pair(tmp_path: Path) -> None:
    private = load_pem_private_key(credentials.identity(tmp_path, "store").read_bytes(), None)
    public = load_pem_public_key((tmp_path / "store.pub").read_bytes())
    assert isinstance(private, Ed25519PrivateKey)
    assert isinstance(public, Ed25519PublicKey)
    public.verify(private.sign(b"text"), b"text")
    assert mode(tmp_path / "store.key") == 0o600


def test_a_lost_public_key_is_made_again_from_the_private_one(tmp_path: Path) -> None:
    credentials.identity(tmp_path, "store")
    public = (tmp_path / "store.pub").read_bytes()
    (tmp_path / "store.pub").unlink()
    credentials.identity(tmp_path, "store")
    assert (tmp_path / "store.pub").read_bytes() == public


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    (tmp_path / ".secret.new").write_bytes(b"left by a crash")
    credentials.write_private(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_certificates_are_made_once_and_trusted_by_their_authority(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    assert certificates.ensure(NOW)
    assert not certificates.ensure(NOW)
    server = x509.load_pem_x509_certificate(certificates.server.read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(DNS_NAMES)
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    authority = x509.load_pem_x509_certificate(certificates.authority.read_bytes())
    server.verify_directly_issued_by(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    assert {mode(certificates.server_key), mode(certificates.authority_key)} == {0o600}


def test_a_server_certificate_is_renewed_before_it_ends_and_the_authority_stays(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.ensure(NOW)
    authority, server = certificates.authority.read_bytes(), certificates.server.read_bytes()
    assert not certificates.ensure(NOW + dt.timedelta(days=366))
    assert certificates.ensure(NOW + dt.timedelta(days=368))
    assert certificates.authority.read_bytes() == authority
    assert certificates.server.read_bytes() != server


def test_an_authority_near_its_end_is_renewed_with_its_server_certificate(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.ensure(NOW)
    authority = certificates.authority.read_bytes()
    assert certificates.ensure(NOW + dt.timedelta(days=3640))
    assert certificates.authority.read_bytes() != authority
    server = x509.load_pem_x509_certificate(certificates.server.read_bytes())
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(certificates.authority.read_bytes()))


def test_a_private_circle_is_made_once_and_its_authority_keeps_no_key(tmp_path: Path) -> None:
    circle = PrivateCircle(tmp_path)
    circle.ensure(NOW)
    member = circle.member.read_bytes()
    circle.ensure(NOW)
    assert circle.member.read_bytes() == member
    x509.load_pem_x509_certificate(member).verify_directly_issued_by(
        x509.load_pem_x509_certificate(circle.authority.read_bytes())
    )
    assert {file.name for file in tmp_path.iterdir()} == {"circle.pem", "member.pem", "member.key"}
    circle.ensure(NOW + dt.timedelta(days=3640))
    assert circle.member.read_bytes() != member


def test_a_large_log_is_cut_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with logfile.open_log(path) as writer:
        writer.write(b"first\n" * 10)
        assert not logfile.rotate(path, limit=60)
        assert logfile.rotate(path, limit=59)
        writer.write(b"second\n")
    assert path.read_bytes() == b"second\n"
    assert (tmp_path / "x.log.1").read_bytes() == b"first\n" * 10
    assert mode(path) == 0o600
    assert logfile.rotate(path, limit=1)
    assert (tmp_path / "x.log.1").read_bytes() == b"second\n"
    assert (tmp_path / "x.log.2").read_bytes() == b"first\n" * 10
    assert not logfile.rotate(tmp_path / "absent.log")


@given(st.binary(max_size=20_000))
def test_the_last_line_of_any_log_is_one_short_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content)
        line = logfile.last_line(path)
    assert 0 < len(line) <= logfile.SHOWN_CHARACTERS
    assert len(line.splitlines()) == 1


def test_the_last_line_skips_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\nthe reason\n\n  \n")
    assert logfile.last_line(path) == "the reason"
    assert logfile.last_line(tmp_path / "absent") == "-"


def test_sockets_of_a_deep_data_directory_lie_in_a_short_private_one(tmp_path: Path) -> None:
    data = tmp_path / ("deep" * 25)
    layout = Layout(data)
    try:
        layout.create()
        assert len(os.fsencode(layout.run)) < 80
        assert (data / "run").readlink() == layout.run
        assert mode(layout.run) == 0o700
        assert len(os.fsencode(layout.postgres_socket / ".s.PGSQL.5432")) < 108
        layout.create()
    finally:
        layout.postgres_socket.rmdir()
        layout.run.rmdir()


def test_sockets_of_a_short_data_directory_lie_in_it(tmp_path: Path) -> None:
    layout = Layout(Path("/srv/pb"))
    assert layout.run == Path("/srv/pb/run")


def test_a_foreign_socket_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petitbleu_dev.layout.SUN_PATH_LIMIT", 4096)  # however long the name of the test's directory is
    layout = Layout(tmp_path / "data")
    layout.data.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (layout.data / "run").symlink_to(elsewhere)
    with pytest.raises(StackError, match="belongs to somebody else"):
        layout.create()


def test_doors_have_ports_of_their_own() -> None:
    ports = Ports(1000)
    doors = {**ports.backends(), **ports.services()}
    assert len(set(doors.values())) == len(doors)
    assert ports.of("smtp") == 3525
    assert ports.of("http") == 9080
    assert {f"{service} health" for service in HEALTH_PORTS} <= set(doors)


@pytest.mark.parametrize("offset", [-1, 40_000])
def test_an_offset_out_of_range_is_refused(offset: int) -> None:
    with pytest.raises(StackError, match="PETITBLEU_PORT_OFFSET"):
        Ports(offset)


@pytest.mark.parametrize("text", ["", "one", "-1", "1.5", "²"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    layout = Layout(tmp_path)
    layout.version.write_text(text)
    with pytest.raises(StackError, match="does not name a version"):
        preflight.check_layout_version(layout)


def test_a_new_directory_is_marked_and_accepted_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    preflight.check_layout_version(layout)
    assert layout.version.read_text() == "1\n"
    preflight.check_layout_version(layout)


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    held = preflight.take_lock(layout)
    with pytest.raises(StackError, match=f"process {os.getpid()}"):
        preflight.take_lock(layout)
    os.close(held)
    os.close(preflight.take_lock(layout))


def test_progress_is_said_once_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    console = Console(stream)
    for names in (["postgres", "nats"], ["postgres", "nats"], ["nats"], []):
        console.waiting(names)
    console.line("done")
    assert stream.getvalue() == "waiting for postgres, nats\nwaiting for nats\ndone\n"


def test_a_file_in_the_way_is_one_line_that_names_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.logs.touch()
    with pytest.raises(StackError) as refused, preflight.usable(layout):
        layout.create()
    assert str(layout.logs) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_certificate_or_key_is_one_line_that_names_it(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.ensure(NOW)
    credentials.identity(tmp_path, "store")
    (tmp_path / "store.pub").unlink()
    for path in (certificates.server, certificates.authority, tmp_path / "store.key"):
        path.write_bytes(b"x")
        with pytest.raises(StackError, match=path.name) as refused:
            if path.suffix == ".key":
                credentials.identity(tmp_path, "store")
            else:
                certificates.ensure(NOW)
        assert "\n" not in str(refused.value)


def test_only_takes_names_that_there_are() -> None:
    preflight.check_names({"services", "nats"}, ("services", "nats"))
    for wanted in ({"nats", "natz"}, frozenset[str]()):
        with pytest.raises(StackError, match="there are services, nats"):
            preflight.check_names(wanted, ("services", "nats"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_leaves_no_trace_before_a_line() -> None:
    stream = Terminal()
    console = Console(stream)
    console.waiting(["postgres"])
    console.line("done")
    assert stream.getvalue().endswith("\r\x1b[Kdone\n")


def test_progress_stays_in_one_row_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    Console(stream).waiting(["postgres", "nats", "redis", "seaweedfs", "ingest"])
    assert len(stream.getvalue()) == 39
    assert stream.getvalue().endswith("... (0 s)")


def test_each_wait_counts_its_own_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 103.0, 500.0, 500.0])
    monkeypatch.setattr("petitbleu_dev.console.time.monotonic", lambda: next(clock))
    stream = Terminal()
    console = Console(stream)
    console.waiting(["postgres"])
    console.waiting([])
    console.waiting(["a clean stop"])
    assert "postgres (3 s)" in stream.getvalue()
    assert stream.getvalue().endswith("a clean stop (0 s)")


def test_a_line_that_cannot_be_printed_ends_nothing() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it would fail as writing does
    console = Console(full)
    console.line("said to nobody")
    console.waiting(["postgres"])
    console.waiting([])
    with pytest.raises(OSError, match="No space left"):
        full.close()
