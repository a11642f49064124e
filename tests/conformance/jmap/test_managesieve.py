"""RFC 5804 on the wire: ManageSieve, by Python's sockets and by sieve-connect."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from libs.petitbleu_mail.tests.scram_client import ScramClient
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import JmapClient
from tests.conformance.jmap_push import hear, listening, tell, web_socket
from tests.live_stack import PASSWORD, LiveStack

from petitbleu_dev.authority import Certificates

FILING = b'require "fileinto";\r\nfileinto "Archive";\r\n'


class Client:
    """A client that hides nothing: `say` sends octets, `answer` reads to the next OK, NO or BYE."""

    def __init__(self, port: int, authority: Path) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.authority = authority
        self.file = self.socket.makefile("rb")
        self.greeting = self.answer()

    def answer(self) -> list[bytes]:
        found: list[bytes] = []
        while True:
            line = self.file.readline()
            if not line:
                return [*found, b""]
            line = line.rstrip(b"\r\n")
            if line.startswith(b"{"):
                line = self.file.read(int(line.strip(b"{}+")))
                rest = self.file.readline().rstrip(b"\r\n")
                found.append(line + rest)
                continue
            found.append(line)
            if line.split(b" ")[0] in {b"OK", b"NO", b"BYE"}:
                return found

    def say(self, octets: bytes) -> list[bytes]:
        self.socket.sendall(octets + b"\r\n")
        return self.answer()

    def start_tls(self) -> list[bytes]:
        assert self.say(b"STARTTLS")[-1].startswith(b"OK")
        context = ssl.create_default_context(cafile=str(self.authority))
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")
        return self.answer()

    def log_in(self, login: str, password: str = PASSWORD) -> list[bytes]:
        plain = base64.b64encode(f"\0{login}\0{password}".encode())
        return self.say(b'AUTHENTICATE "PLAIN" "' + plain + b'"')

    def scram(self, login: str, password: str, *, bound: bool = False, end_point: bytes = b"") -> list[bytes]:
        """Log in by SCRAM, with the initial response; the last answer, once the server's own word was right."""
        if bound and not end_point:
            certificate = cast(ssl.SSLSocket, self.socket).getpeercert(binary_form=True)
            end_point = hashlib.sha256(certificate or b"").digest()
        talk = ScramClient(login, password, end_point)
        mechanism = b"SCRAM-SHA-256-PLUS" if bound else b"SCRAM-SHA-256"
        self.socket.sendall(b'AUTHENTICATE "%s" "%s"\r\n' % (mechanism, base64.b64encode(talk.first().encode())))
        challenge = self.file.readline()
        if challenge.startswith(b"NO"):
            return [challenge]
        final = talk.final(base64.b64decode(challenge.strip(b'"\r\n')).decode())
        told = self.say(b'"%s"' % base64.b64encode(final.encode()))
        if told[-1].startswith(b"OK"):
            assert told[-1].startswith(b'OK (SASL "')
            assert talk.believes(base64.b64decode(told[-1].split(b'"')[1]).decode())
        return told

    def put(self, name: str, content: bytes) -> bytes:
        return self.say(b'PUTSCRIPT "%s" {%d+}\r\n%s' % (name.encode(), len(content), content))[-1]


@pytest.fixture
def connect(live_stack: LiveStack) -> Iterator[Callable[[], Client]]:
    made: list[Client] = []

    def new() -> Client:
        client = Client(live_stack.port("managesieve"), Certificates(live_stack.layout.tls).authority)
        made.append(client)
        return client

    yield new
    for one in made:
        one.file.close()
        one.socket.close()


@pytest.fixture
def person(jmap_stack: JmapServer) -> Iterator[JmapClient]:
    client = jmap_stack.newcomer()
    yield client
    client.http.close()


def test_rfc5804_1_7_capabilities_before_and_after_tls(connect: Callable[[], Client], person: JmapClient) -> None:
    client = connect()
    assert b'"VERSION" "1.0"' in client.greeting
    assert b'"SASL" ""' in client.greeting
    assert b'"STARTTLS"' in client.greeting
    assert client.log_in(person.login)[-1].startswith(b"NO (ENCRYPT-NEEDED)")
    told = client.start_tls()
    assert b'"SASL" "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"' in told
    assert b'"STARTTLS"' not in told
    assert client.say(b"LISTSCRIPTS")[-1].startswith(b"NO")
    assert client.log_in(person.login)[-1].startswith(b"OK")
    told = client.say(b"CAPABILITY")
    assert b'"OWNER" "%s"' % person.login.encode() in told
    (extensions,) = [line for line in told if line.startswith(b'"SIEVE"')]
    assert {b"fileinto", b"vacation"} <= set(extensions.strip(b'"').split(b'"')[-1].split())
    assert client.say(b'NOOP "tag-1"') == [b'OK (TAG "tag-1") "Done."']
    assert client.say(b"LOGOUT")[-1].startswith(b"OK")
    assert client.answer() == [b""]


def test_rfc5804_2_1_wrong_credentials_and_a_challenge(connect: Callable[[], Client], person: JmapClient) -> None:
    client = connect()
    client.start_tls()
    assert client.log_in(person.login, "wrong")[-1].startswith(b"NO")
    assert client.say(b'AUTHENTICATE "CRAM-MD5"')[-1].startswith(b"NO")
    client.socket.sendall(b'AUTHENTICATE "PLAIN"\r\n')
    assert client.file.readline() == b'""\r\n'
    assert client.say(b'"*"')[-1].startswith(b"NO")
    client.socket.sendall(b'AUTHENTICATE "PLAIN"\r\n')
    assert client.file.readline() == b'""\r\n'
    plain = base64.b64encode(f"\0{person.login}\0{PASSWORD}".encode())
    assert client.say(b"{%d+}\r\n%s" % (len(plain), plain))[-1].startswith(b"OK")


def test_rfc5804_2_1_app_passwords_log_in_by_scram(
    connect: Callable[[], Client], person: JmapClient, live_stack: LiveStack
) -> None:
    made = live_stack.cli("--json", "account", "app-password", person.login, "--label", "x")
    password = str(json.loads(made)["app_password"])
    for bound in (False, True):
        client = connect()
        client.start_tls()
        assert client.scram(person.login, password, bound=bound)[-1].startswith(b"OK")
        assert client.put("mine", FILING) == b"OK"
        assert client.say(b"LISTSCRIPTS") == [b'"mine"', b"OK"]
        assert client.scram(person.login, password)[-1].startswith(b"NO")  # once is enough
    client = connect()
    client.start_tls()
    # another's binding, the main password, nobody
    assert client.scram(person.login, password, bound=True, end_point=b"in between")[-1].startswith(b"NO")
    assert client.scram(person.login, PASSWORD)[-1].startswith(b"NO")
    client.scram("nobody@live.test", password)
    assert client.answer()[-1].startswith(b"BYE")
    # what came to nothing leaves nothing behind
    client = connect()
    assert client.scram(person.login, password)[-1].startswith(b"NO (ENCRYPT-NEEDED)")
    client.start_tls()
    client.socket.sendall(b'AUTHENTICATE "SCRAM-SHA-256"\r\n')
    assert client.file.readline() == b'""\r\n'
    assert client.say(b'"*"')[-1].startswith(b"NO")
    assert client.say(b"LISTSCRIPTS")[-1].startswith(b"NO")
    assert client.scram(person.login, password)[-1].startswith(b"OK")


def test_rfc5804_2_2_what_is_sent_before_tls_begins_ends_the_connection(connect: Callable[[], Client]) -> None:
    client = connect()
    client.socket.sendall(b'STARTTLS\r\nAUTHENTICATE "PLAIN" "AAAA"\r\n')
    assert client.answer()[-1].startswith(b"BYE")


def test_rfc5804_2_scripts(connect: Callable[[], Client], person: JmapClient) -> None:
    client = connect()
    client.start_tls()
    client.log_in(person.login)
    assert client.say(b'HAVESPACE "mine" 1000') == [b"OK"]
    assert client.say(b'HAVESPACE "mine" 999999')[-1].startswith(b"NO (QUOTA/MAXSIZE)")
    assert client.put("mine", FILING) == b"OK"
    refused = client.put("bad", b"nonsense;")
    assert refused.startswith(b"NO")
    assert b"line 1" in refused
    assert client.put("large", b"#" * 131_073).startswith(b"NO (QUOTA/MAXSIZE)")
    assert client.put("larger", b"#" * 300_000).startswith(b"NO")
    assert client.say(b'CHECKSCRIPT "keep;"') == [b"OK"]
    assert client.say(b'CHECKSCRIPT "x"')[-1].startswith(b"NO")
    assert client.say(b'SETACTIVE "mine"') == [b"OK"]
    assert client.say(b"LISTSCRIPTS") == [b'"mine" ACTIVE', b"OK"]
    assert client.say(b'GETSCRIPT "mine"') == [FILING, b"OK"]
    assert client.say(b'GETSCRIPT "other"')[-1].startswith(b"NO (NONEXISTENT)")
    assert client.put("mine", b"keep;\r\n") == b"OK"
    assert client.put("Zweites \u00fc", FILING) == b"OK"
    assert client.say(b'RENAMESCRIPT "mine" "Zweites \xc3\xbc"')[-1].startswith(b"NO (ALREADYEXISTS)")
    assert client.say(b'RENAMESCRIPT "mine" "first"') == [b"OK"]
    assert client.say(b'DELETESCRIPT "first"')[-1].startswith(b"NO (ACTIVE)")
    assert client.say(b'SETACTIVE ""') == [b"OK"]
    assert client.say(b'DELETESCRIPT "first"') == [b"OK"]
    # JMAP sees the same
    (one,) = person.call("SieveScript/get")["list"]
    assert (one["name"], one["isActive"]) == ("Zweites ü", False)
    assert person.download(one["blobId"]).content == FILING


def test_rfc8620_7_1_what_a_manage_sieve_client_changes_is_pushed(
    connect: Callable[[], Client], person: JmapClient
) -> None:
    client = connect()
    client.start_tls()
    client.log_in(person.login)
    with listening(person, "SieveScript") as stream, web_socket(person) as web:
        tell(web, {"@type": "WebSocketPushEnable", "dataTypes": ["SieveScript"]})
        for command in (b'PUTSCRIPT "mine" "keep;"', b'SETACTIVE "mine"', b'SETACTIVE ""', b'DELETESCRIPT "mine"'):
            assert client.say(command)[-1].startswith(b"OK")
            state = person.call("SieveScript/get", ids=[])["state"]
            told = stream.next()
            assert told is not None
            assert told.data["changed"][person.account] == {"SieveScript": state}
            assert hear(web)["changed"][person.account] == {"SieveScript": state}


def test_rfc5804_1_2_clients_without_manners_are_bounded(connect: Callable[[], Client], person: JmapClient) -> None:
    client = connect()
    assert client.say(b"x" * 20_000)[-1].startswith(b"BYE")
    client = connect()
    assert client.say(b"PUTSCRIPT {999999999+}")[-1].startswith(b"BYE")
    client = connect()
    assert client.say(b'"unclosed')[-1].startswith(b"NO")
    assert client.say(b"nonsense")[-1].startswith(b"NO")
    assert client.say(b"")[-1].startswith(b"NO")
    client.start_tls()
    for _ in range(2):
        assert client.log_in(person.login, "wrong")[-1].startswith(b"NO")
    client.log_in(person.login, "wrong")
    assert client.answer()[-1].startswith(b"BYE")


def test_sieve_connect_puts_and_activates(live_stack: LiveStack, person: JmapClient, tmp_path: Path) -> None:
    command = shutil.which("sieve-connect")
    if command is None:
        pytest.skip("sieve-connect is not there: apt-get install sieve-connect")
    script = tmp_path / "mine.sieve"
    script.write_bytes(FILING)
    done = subprocess.run(
        [
            command, "--server", "localhost", "--port", str(live_stack.port("managesieve")), "--user", person.login,
            "--passwordfd", "0", "--tlscafile", str(Certificates(live_stack.layout.tls).authority),
            "--localsieve", str(script), "--upload",
        ],
        input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = person.call("SieveScript/get")["list"]
    assert one["name"] == "mine.sieve"
