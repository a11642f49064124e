"""Make the keys and passwords of a release: a job of the chart runs it before anything else is there.

Everything follows from one seed of 32 random octets, kept in the secret `<release>-seed` that no pod mounts. So a run that was
cut off is finished by the next one, with the same keys. Keys are created once and never changed; what configures
the embedded backends is written anew at each upgrade, since a release may need another right on the bus.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import hmac
import json
import os
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

SERVICES = ("ingest", "store", "delivery", "junior-guard", "accounts", "gateway")
DATABASES = ("store", "delivery", "junior-guard", "accounts")
USES_REDIS = ("ingest", "gateway", "accounts")
OWNERS = {"MAIL": "store", "ACCOUNTS": "accounts", "DELIVERY": "delivery"}
SUBJECTS = {"MAIL": "mail.>", "ACCOUNTS": "accounts.>", "DELIVERY": "delivery.>"}
PULLS = {
    "store": ("ACCOUNTS",),
    "delivery": ("MAIL", "ACCOUNTS"),
    "junior-guard": ("MAIL", "ACCOUNTS"),
    "accounts": ("MAIL",),
}
LISTENS = {
    "ingest": ("accounts.>",),
    "delivery": ("accounts.>",),
    "accounts": ("accounts.>",),
    "gateway": ("accounts.>", "mail.>", "delivery.>", "junior.>"),
}
SAYS = {"junior-guard": ("junior.>",)}
SEED_OCTETS = 32
TLS_DAYS = 397
"""Longest life that clients accept for a server certificate (CA/Browser Forum baseline requirements §6.3.2)."""

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

FILER = """\
[leveldb2]
enabled = false

[postgres2]
enabled = true
createTable = \"\"\"
  CREATE TABLE IF NOT EXISTS "%s" (dirhash BIGINT, name VARCHAR(65535), directory VARCHAR(65535), meta bytea, PRIMARY KEY (dirhash, name));
\"\"\"
hostname = "{host}"
port = 5432
username = "seaweedfs"
password = "{password}"
database = "seaweedfs"
schema = ""
sslmode = "disable"
connection_max_idle = 2
connection_max_open = 8
connection_max_lifetime_seconds = 3600
enableUpsert = true
upsertQuery = \"\"\"
  INSERT INTO "%[1]s" (dirhash, name, directory, meta) VALUES($1, $2, $3, $4)
    ON CONFLICT (dirhash, name) DO UPDATE SET directory=EXCLUDED.directory, meta=EXCLUDED.meta
\"\"\"
"""


class Seed:
    """What every key and password is derived from: HMAC-SHA-256 of a purpose (NIST SP 800-108)."""

    def __init__(self, octets: bytes) -> None:
        if len(octets) != SEED_OCTETS:
            raise ValueError(f"a seed has {SEED_OCTETS} octets")
        self._octets = octets

    def key(self, purpose: str) -> bytes:
        """32 octets for one purpose."""
        return hmac.digest(self._octets, purpose.encode(), "sha256")

    def password(self, purpose: str) -> str:
        """Text of base64's URL alphabet with 192 bits: no DSN, SQL text or configuration needs to quote it."""
        return base64.urlsafe_b64encode(self.key(purpose)[:24]).decode()


def _private_pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def keys(release: str, seed: Seed) -> dict[str, dict[str, str]]:
    """Secrets that must never change: name to its keys and values."""
    identities = {
        service: Ed25519PrivateKey.from_private_bytes(seed.key(f"identity {service}")) for service in SERVICES
    }
    made = {f"{release}-{service}-keys": {"identity.key": _private_pem(key)} for service, key in identities.items()}
    made[f"{release}-identity"] = {
        f"{service}.pub": key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
        for service, key in identities.items()
    }
    for service in ("ingest", "delivery", "junior-guard"):
        made[f"{release}-{service}-keys"][f"{service}.key"] = base64.b64encode(seed.key(f"key {service}")).decode()
    kek = base64.b64encode(seed.key("key encryption 1")).decode()
    made[f"{release}-store-keys"]["kek.json"] = json.dumps({"active": "1", "keys": {"1": kek}})
    scalar = int.from_bytes(seed.key("application server"), "big") % (P256_ORDER - 1) + 1
    made[f"{release}-gateway-keys"]["vapid.pem"] = _private_pem(ec.derive_private_key(scalar, ec.SECP256R1()))
    made[f"{release}-operator"] = {"token": base64.urlsafe_b64encode(seed.key("operator")).decode().rstrip("=")}
    return made


def permissions(service: str) -> dict[str, list[str]]:
    """Subjects that a service may publish to and subscribe to on NATS; the same as in the embedded stack."""
    owned = [stream for stream, owner in OWNERS.items() if owner == service]
    pulls = PULLS.get(service, ())
    publish = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", *(SUBJECTS[stream] for stream in owned), *SAYS.get(service, ())]
    for stream in sorted({*owned, *pulls}):
        publish += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE")]
    for stream in pulls:
        publish += [
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{service}",
            f"$JS.API.CONSUMER.INFO.{stream}.{service}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{service}",
            f"$JS.ACK.{stream}.{service}.>",
        ]
    return {"publish": publish, "subscribe": ["_INBOX.>", *LISTENS.get(service, ())]}


def bus(seed: Seed) -> str:
    """Configuration of NATS, which reads JSON."""
    users = [
        {"user": service, "password": seed.password(f"nats {service}"), "permissions": permissions(service)}
        for service in SERVICES
    ]
    settings = {
        "listen": "0.0.0.0:4222",
        "http": "0.0.0.0:8222",
        "server_name": "petitbleu",
        "jetstream": {"store_dir": "/data", "max_memory_store": 16 << 20, "max_file_store": 4 << 30},
        "max_payload": 1 << 20,
        "max_pending": 64 << 20,
        "authorization": {"users": users, "timeout": 5},
    }
    return json.dumps(settings, indent=1)


def role_of(service: str) -> str:
    """Role, and schema, of a service."""
    return service.replace("-", "_")


def database(seed: Seed) -> str:
    """SQL that PostgreSQL runs when its cluster is made: a role and a schema a service, and SeaweedFS's own database."""
    roles = [role_of(service) for service in DATABASES]
    lines = [
        f"CREATE ROLE {role} LOGIN PASSWORD '{seed.password(f'postgres {role}')}';" for role in (*roles, "seaweedfs")
    ]
    lines += [
        "CREATE DATABASE seaweedfs OWNER seaweedfs;",
        "REVOKE ALL ON DATABASE seaweedfs FROM PUBLIC;",
        "REVOKE ALL ON DATABASE petitbleu FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE petitbleu TO {', '.join(roles)};",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
    ]
    for role in roles:
        lines += [f"CREATE SCHEMA {role} AUTHORIZATION {role};", f"ALTER ROLE {role} SET search_path = {role};"]
    return "\n".join(lines) + "\n"


def backends(release: str, bucket: str, seed: Seed) -> dict[str, dict[str, str]]:
    """Configuration of the embedded backends, and how each service reaches them."""
    redis = seed.password("redis")
    access, hidden = seed.password("s3 access"), seed.password("s3 secret")
    actions = [f"{verb}:{bucket}" for verb in ("Read", "Write", "List", "Tagging")]
    store = {"name": "store", "credentials": [{"accessKey": access, "secretKey": hidden}], "actions": actions}
    made = {
        f"{release}-postgres": {"POSTGRES_PASSWORD": seed.password("postgres superuser"), "init.sql": database(seed)},
        f"{release}-nats": {"nats.conf": bus(seed)},
        # It holds only what may be lost: no persistence, a bound on memory.
        f"{release}-redis": {
            "redis.conf": f'bind 0.0.0.0\nport 6379\nrequirepass {redis}\nsave ""\nappendonly no\nmaxmemory 64mb\nmaxmemory-policy allkeys-lru\ndir /tmp\n'
        },
        f"{release}-seaweedfs": {
            "filer.toml": FILER.format(host=f"{release}-postgres", password=seed.password("postgres seaweedfs")),
            "s3.json": json.dumps({"identities": [store]}),
        },
    }
    for service in SERVICES:
        told = {"PETITBLEU_NATS_PASSWORD": seed.password(f"nats {service}")}
        if service in DATABASES:
            role = role_of(service)
            told["PETITBLEU_PG_DSN"] = (
                f"postgresql://{role}:{seed.password(f'postgres {role}')}@{release}-postgres:5432/petitbleu"
            )
        if service in USES_REDIS:
            told["PETITBLEU_REDIS_URL"] = f"redis://:{redis}@{release}-redis:6379/0"
        if service == "store":
            told |= {"PETITBLEU_S3_ACCESS_KEY": access, "PETITBLEU_S3_SECRET_KEY": hidden}
        made[f"{release}-{service}-backends"] = told
    return made


def certificate(names: list[str], now: dt.datetime) -> dict[str, str]:
    """Make a certificate of its own authority for the doors, until the operator has a real one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=TLS_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in dict.fromkeys(names)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return {"tls.crt": signed.public_bytes(serialization.Encoding.PEM).decode(), "tls.key": _private_pem(key)}


class Api:
    """The part of the Kubernetes API that is needed here: secrets of one namespace."""

    def __init__(self, namespace: str) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        self._root = f"https://{host}:{port}/api/v1/namespaces/{namespace}/secrets"
        self._context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._token = (ACCOUNT / "token").read_text(encoding="ascii")

    def _ask(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None

    def create(self, name: str, values: dict[str, str], kind: str = "Opaque") -> bool:
        """Create a secret; False when there is one already.

        Raises:
            RuntimeError: the API server refuses.
        """
        body = self._body(name, values, kind)
        status, _ = self._ask("POST", self._root, body)
        if status not in {201, 409}:
            raise RuntimeError(f"the API server answers {status} for the secret {name}")
        return status == 201

    def put(self, name: str, values: dict[str, str]) -> None:
        """Create a secret, or write it anew.

        Raises:
            RuntimeError: the API server refuses.
        """
        if not self.create(name, values):
            status, _ = self._ask("PUT", f"{self._root}/{name}", self._body(name, values, "Opaque"))
            if status != 200:
                raise RuntimeError(f"the API server answers {status} for the secret {name}")

    def read(self, name: str) -> dict[str, str]:
        """Read a secret.

        Raises:
            RuntimeError: the API server refuses.
        """
        status, found = self._ask("GET", f"{self._root}/{name}")
        if status != 200:
            raise RuntimeError(f"the API server answers {status} for the secret {name}")
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    @staticmethod
    def _body(name: str, values: dict[str, str], kind: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": "petitbleu"}
        metadata = {"name": name, "labels": labels}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "stringData": values}


def main() -> int:
    """Make what is missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--release", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--backends", action="store_true")
    parser.add_argument("--tls", default="")
    options = parser.parse_args()
    api = Api(options.namespace)
    api.create(f"{options.release}-seed", {"seed": base64.b64encode(secrets.token_bytes(SEED_OCTETS)).decode()})
    seed = Seed(base64.b64decode(api.read(f"{options.release}-seed")["seed"], validate=True))
    for name, values in keys(options.release, seed).items():
        if api.create(name, values):
            sys.stdout.write(f"made {name}\n")
    if options.backends:
        for name, values in backends(options.release, options.bucket, seed).items():
            api.put(name, values)
    if options.tls:
        made = certificate(options.tls.split(","), dt.datetime.now(dt.UTC))
        api.create(f"{options.release}-tls", made, "kubernetes.io/tls")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
