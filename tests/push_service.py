"""A push service (RFC 8030) on this machine, with the user agents behind it: it takes what a real one takes, and decrypts it.

It knows nothing of the code that it tests: the receiver's side of RFC 8188, RFC 8291 and RFC 8292 is written here anew.
"""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import http.server
import ipaddress
import json
import os
import queue
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

HOST = "127.0.0.77"
"""An address of loopback of its own, so that a test may open it and nothing else."""


def unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def octets_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, for one block."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")[:length]


def decrypt(body: bytes, key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """Return what a message of one user agent says (RFC 8291 §3.4, RFC 8188 §2)."""
    salt, record_size, id_length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    sender, record = body[21 : 21 + id_length], body[21 + id_length :]
    assert id_length == 65, "the key id is the sender's key (RFC 8291 §4)"
    assert 17 <= len(record) <= record_size, "one record (RFC 8291 §4)"
    point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    receiver = key.public_key().public_bytes(*point)
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
    secret = hkdf(auth, shared, b"WebPush: info\x00" + receiver + sender, 32)
    content_key = hkdf(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = hkdf(salt, secret, b"Content-Encoding: nonce\x00", 12)
    plain = AESGCM(content_key).decrypt(nonce, record, None).rstrip(b"\x00")
    assert plain[-1:] == b"\x02", "the delimiter of the last record (RFC 8188 §2)"
    return plain[:-1]


@dataclass
class Message:
    """One message as its user agent has it."""

    body: Any
    headers: dict[str, str]
    octets: int
    at: float


@dataclass
class UserAgent:
    """A subscription at the push service, and who made it; `answers` are the statuses of the next posts, with headers."""

    url: str
    server_key: str = ""
    encrypted: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))
    messages: queue.Queue[Message] = field(default_factory=queue.Queue)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    posts: int = 0
    stall: float = 0.0

    @property
    def keys(self) -> dict[str, str]:
        public = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return {"p256dh": unpadded(public), "auth": unpadded(self.auth)}

    def next(self, seconds: float = 20) -> Message:
        try:
            return self.messages.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no message; refused: {self.refused}") from None

    def silent(self, seconds: float) -> bool:
        try:
            self.messages.get(timeout=seconds)
        except queue.Empty:
            return True
        return False


class PushService:
    """The push service: makes subscriptions, and answers posts in threads of its own."""

    def __init__(self, folder: Path) -> None:
        self.authority = _certificate(folder)
        self.agents: dict[str, UserAgent] = {}
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                status, headers = service.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(self.authority, folder / "push.key")

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def finish_request(self, request: Any, client_address: Any) -> None:
                # in the connection's own thread, so that a client that says nothing holds up nobody
                wrapped = trust.wrap_socket(request, server_side=True)
                try:
                    super().finish_request(wrapped, client_address)
                finally:
                    wrapped.close()

            def handle_error(self, *_args: Any) -> None:
                pass

        self._server = Server((HOST, 0), Handler)
        self.origin = f"https://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def environment(self) -> dict[str, str]:
        """What a gateway must be told so that it may post here."""
        return {"PETITBLEU_CA_FILE": str(self.authority), "PETITBLEU_EGRESS_ALLOW": f"{HOST}/32"}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def subscribe(self, server_key: str = "", *, encrypted: bool = True) -> UserAgent:
        """Make a subscription; with a server's key, nobody else may post to it (RFC 8292 §4)."""
        path = f"/push/{unpadded(os.urandom(16))}"
        agent = UserAgent(f"{self.origin}{path}", server_key, encrypted)
        self.agents[path] = agent
        return agent

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """Answer a post (RFC 8030 §5)."""
        agent = self.agents.get(path)
        if agent is None:
            return 404, {}
        agent.posts += 1
        if agent.stall:
            time.sleep(agent.stall)
        if agent.answers:
            return agent.answers.pop(0)
        try:
            said = self._checked(agent, headers, body)
        except _RefusedError as error:
            agent.refused.append((error.status, str(error)))
            return error.status, {}
        agent.messages.put(Message(said, headers, len(body), time.monotonic()))
        return 201, {"Location": f"{self.origin}/message/{agent.posts}"}

    def _checked(self, agent: UserAgent, headers: dict[str, str], body: bytes) -> Any:
        if not headers.get("ttl", "").isdigit():
            raise _RefusedError(400, "no TTL")  # RFC 8030 §5.2
        if headers.get("urgency", "normal") not in {"very-low", "low", "normal", "high"}:
            raise _RefusedError(400, "no urgency")
        topic = headers.get("topic", "x")
        if not 1 <= len(topic) <= 32 or unpadded(octets_of(topic + "A" * (-len(topic) % 4)))[:1] == "":
            raise _RefusedError(400, "no topic")  # RFC 8030 §5.4
        if len(body) > 4096:
            raise _RefusedError(413, "too large")
        self._check_sender(agent, headers.get("authorization", ""))
        if not agent.encrypted:
            return json.loads(body)
        if headers.get("content-encoding") != "aes128gcm":
            raise _RefusedError(400, "not encrypted")
        try:
            return json.loads(decrypt(body, agent.key, agent.auth))
        except Exception as error:  # noqa: BLE001 — whatever is wrong with it, that is what the sender hears
            raise _RefusedError(400, f"cannot be decrypted: {error!r}") from None

    def _check_sender(self, agent: UserAgent, field: str) -> None:
        """RFC 8292 §2, §3, §4.2."""
        if not field:
            if agent.server_key:
                raise _RefusedError(401, "who posts?")
            return
        scheme, _, rest = field.partition(" ")
        values = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        if scheme != "vapid" or set(values) != {"t", "k"}:
            raise _RefusedError(401, "not a vapid field")
        if agent.server_key and values["k"] != agent.server_key:
            raise _RefusedError(403, "another sender")
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), octets_of(values["k"]))
        try:
            claims = jwt.decode(values["t"], public, algorithms=["ES256"], audience=self.origin)
        except jwt.PyJWTError as error:
            raise _RefusedError(403, repr(error)) from None
        if claims["exp"] > time.time() + 24 * 3600 or not claims.get("sub", "mailto:").startswith(
            ("mailto:", "https:")
        ):
            raise _RefusedError(403, "claims")


class _RefusedError(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "push service of a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "push.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "push.key").write_bytes(pem)
    return path
