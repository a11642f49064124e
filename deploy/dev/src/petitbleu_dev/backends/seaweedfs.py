"""SeaweedFS as the S3 server that holds bodies, made to sync before it answers.

By default it answers from the page cache. `fsync` on the bucket's path makes the volume server sync a chunk before the
PUT is answered, and PostgreSQL as the filer's store makes the object's entry durable.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import secrets
import signal
from contextlib import suppress
from pathlib import Path

from petitbleu_dev import binaries, credentials
from petitbleu_dev.authority import PrivateCircle
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.errors import NotYetError, StackError
from petitbleu_dev.http_probe import get
from petitbleu_dev.process import Program

BUCKET = "petitbleu"
VOLUME_MEGABYTES = 1024
MEMORY_LIMIT = "256MiB"
STOP_SECONDS = 2.0
"""Its own graceful stop waits 15 s for streams of its own parts. When it comes, no service writes any more, and what was
answered is synced, so the end can be short."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOCAL_SOCKETS = ("master", "volume", "filer", "s3")

FILER = """\
[filer.options]
recursive_delete = false

[leveldb2]
enabled = false

[postgres2]
enabled = true
createTable = \"\"\"
  CREATE TABLE IF NOT EXISTS "%s" (
    dirhash   BIGINT,
    name      VARCHAR(65535),
    directory VARCHAR(65535),
    meta      bytea,
    PRIMARY KEY (dirhash, name)
  );
\"\"\"
hostname = "{host}"
port = 5432
username = "{user}"
password = "{password}"
database = "{database}"
schema = ""
sslmode = "disable"
connection_max_idle = 2
connection_max_open = 8
connection_max_lifetime_seconds = 3600
enableUpsert = true
upsertQuery = \"\"\"
  INSERT INTO "%[1]s" (dirhash, name, directory, meta)
    VALUES($1, $2, $3, $4)
    ON CONFLICT (dirhash, name) DO UPDATE SET
      directory=EXCLUDED.directory,
      meta=EXCLUDED.meta
\"\"\"
"""

MASTER = """\
[master.maintenance]
scripts = \"\"\"
  lock
  fs.log.purge -daysAgo=1
  volume.deleteEmpty -quietFor=24h -apply
  s3.clean.uploads -timeAgo=24h
  unlock
\"\"\"
sleep_minutes = 360

[master.volume_growth]
copy_1 = 1
"""


def access_key(context: Context) -> str:
    """Access key of the one S3 identity, store's."""
    return credentials.password(context.layout.secrets, "s3-access-key")


def secret_key(context: Context) -> str:
    """Secret key of that identity."""
    return credentials.password(context.layout.secrets, "s3-secret-key")


def endpoint(context: Context) -> str:
    """`host:port` of the S3 door."""
    return f"127.0.0.1:{context.ports.of('seaweedfs s3')}"


def identities(context: Context) -> str:
    """The S3 door's identities: store, in its bucket and nowhere else."""
    actions = [f"{verb}:{BUCKET}" for verb in ("Read", "Write", "List", "Tagging")]
    keys = {"accessKey": access_key(context), "secretKey": secret_key(context)}
    return json.dumps({"identities": [{"name": "store", "credentials": [keys], "actions": actions}]}, indent=1)


def security(circle: PrivateCircle) -> str:
    """Keys of its inner doors: signed requests between its parts over HTTP, mutual TLS over gRPC.

    Any user of this machine can reach those ports; without this, any of them could delete the bucket.
    """
    signed = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    lines = [f'[{part}]\nkey = "{secrets.token_hex(32)}"\nexpires_after_seconds = 60\n' for part in signed]
    lines.append(f'[grpc]\nca = "{circle.authority}"\n')
    parts = ("master", "volume", "filer", "s3", "client")
    lines += [f'[grpc.{part}]\ncert = "{circle.member}"\nkey = "{circle.member_key}"\n' for part in parts]
    return "\n".join(lines)


def program(context: Context) -> Program:
    """SeaweedFS (master, volume, filer and S3 in one process) as a program to supervise."""
    directory = context.layout.seaweedfs
    conf = directory / "conf"
    port = context.ports.of
    options = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": _volumes(context),
        "master.port": port("seaweedfs master"),
        "master.port.grpc": port("seaweedfs master grpc"),
        "master.telemetry": "false",
        "disableHttp": "true",
        "master.volumeSizeLimitMB": VOLUME_MEGABYTES,
        # The only master elects itself before the volume server first greets it, which would try again after 5 s.
        "master.electionTimeout": "250ms",
        "master.heartbeatInterval": "100ms",
        "volume.port": port("seaweedfs volume"),
        "volume.port.grpc": port("seaweedfs volume grpc"),
        "volume.max": 0,
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": port("seaweedfs filer"),
        "filer.port.grpc": port("seaweedfs filer grpc"),
        "filer.localSocket": context.layout.run / "seaweedfs-filer.sock",
        "filer.disableHttp": "true",
        "s3": "true",
        "s3.port": port("seaweedfs s3"),
        "s3.port.grpc": port("seaweedfs s3 grpc"),
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.localSocket": context.layout.run / "seaweedfs-s3.sock",
        "s3.config": conf / "s3.json",
        "s3.iam": "false",
        "s3.autoCreateBucket": "false",
    }
    return Program(
        name="seaweedfs",
        argv=(
            str(binaries.weed()),
            f"-config_dir={conf}",
            "-logtostderr=true",
            "server",
            *(f"-{name}={value}" for name, value in options.items()),
        ),
        environment={**context.environment, "HOME": str(directory), "GOMEMLIMIT": MEMORY_LIMIT},
        log=context.layout.log("seaweedfs"),
        probe=lambda: _answers(context),
        needs=("postgres",),
        prepare=lambda: _prepare(context),
        settle=lambda: _settle(context),
        cleanup=lambda: _cleanup(context),
        stop_signal=signal.SIGTERM,
        stop_seconds=STOP_SECONDS,
    )


async def _prepare(context: Context) -> None:
    _write_configuration(context)
    _remove_sockets(context)
    if _index_may_lag(context):
        await _rebuild_indexes(context)
    credentials.write_private(_running_marker(context), _boot().encode())


def _write_configuration(context: Context) -> None:
    conf = context.layout.seaweedfs / "conf"
    for path in (conf, _volumes(context)):
        path.mkdir(mode=0o700, exist_ok=True)
    filer = FILER.format(
        host=context.layout.postgres_socket,
        user=postgres.FILER_DATABASE,
        password=credentials.password(context.layout.secrets, f"postgres-{postgres.FILER_DATABASE}"),
        database=postgres.FILER_DATABASE,
    )
    credentials.write_private(conf / "filer.toml", filer.encode())
    credentials.write_private(conf / "master.toml", MASTER.encode())
    circle = PrivateCircle(conf)
    circle.ensure(dt.datetime.now(dt.UTC))
    credentials.write_private(conf / "security.toml", security(circle).encode())
    credentials.write_private(conf / "s3.json", identities(context).encode())


def _index_may_lag(context: Context) -> bool:
    """Whether the machine itself stopped under a running server.

    A PUT syncs the `.dat` file and not the `.idx` file beside it. A killed process leaves both in the page cache; a power
    cut can lose the end of the index, and the volume server then serves the volume without its last objects.
    """
    marker = _running_marker(context)
    running_at = marker.read_text(encoding="ascii") if marker.exists() else _boot()
    return running_at != _boot() and any(_volumes(context).glob("*.dat"))


async def _rebuild_indexes(context: Context) -> None:
    """Make the volumes' indexes again from their `.dat` files, which hold all that is needed."""
    context.say("seaweedfs: the machine stopped under it; rebuilding the indexes of the volumes from their data")
    for stale in _volumes(context).glob("*.sdx"):  # the sorted copy of an index
        stale.unlink()
    status, output = await context.offspring.run(
        (str(binaries.weed()), "-logtostderr=true", "fix", "-ignoreError", str(_volumes(context))),
        context.environment,
    )
    if status != 0:
        raise StackError(f"weed fix failed: {(output.strip().splitlines() or ['no reason given'])[-1]}")


def _boot() -> str:
    """Name of this boot of the machine."""
    return BOOT_ID.read_text(encoding="ascii")


def _volumes(context: Context) -> Path:
    return context.layout.seaweedfs / "volumes"


def _running_marker(context: Context) -> Path:
    """Present while the server runs; names the boot of the machine that it runs in."""
    return context.layout.seaweedfs / "running"


def _cleanup(context: Context) -> None:
    """After its end: sync the indexes, so that they no longer depend on the page cache, and take the marker away."""
    _remove_sockets(context)
    for index in _volumes(context).glob("*.idx"):
        with index.open("rb") as file:
            os.fsync(file.fileno())
    _running_marker(context).unlink(missing_ok=True)


async def _answers(context: Context) -> bool:
    """Whether the S3 door answers."""
    status, _ = await get("127.0.0.1", context.ports.of("seaweedfs s3"), "/healthz")
    return status == 200


async def _settle(context: Context) -> None:
    """Make the bucket and turn `fsync` on for its path; both may be there already."""
    commands = (
        f"s3.bucket.create -name {BUCKET}\n"
        f"fs.configure -locationPrefix=/buckets/{BUCKET}/ -fsync=true -volumeGrowthCount=1 -apply\n"
        "s3.bucket.list\n"
        "volume.list\n"
    )
    master = f"127.0.0.1:{context.ports.of('seaweedfs master')}.{context.ports.of('seaweedfs master grpc')}"
    filer = f"127.0.0.1:{context.ports.of('seaweedfs filer')}.{context.ports.of('seaweedfs filer grpc')}"
    _, output = await context.offspring.run(
        (
            str(binaries.weed()),
            f"-config_dir={context.layout.seaweedfs / 'conf'}",
            "-logtostderr=true",
            "shell",
            f"-master={master}",
            f"-filer={filer}",
        ),
        {**context.environment, "HOME": str(context.layout.seaweedfs)},
        text=commands,
    )
    squeezed = "".join(output.split())
    if f'"locationPrefix":"/buckets/{BUCKET}/"' not in squeezed or '"fsync":true' not in squeezed:
        raise NotYetError("SeaweedFS does not yet take `fsync` for the bucket's path")
    if f"{BUCKET}size:" not in squeezed:
        raise NotYetError("SeaweedFS has not made the bucket yet")
    if not re.search(r"\(volume:\d+/[1-9]", squeezed):  # used/room; no room before a volume server is there
        raise NotYetError("SeaweedFS's volume server has not joined its master yet")


def _remove_sockets(context: Context) -> None:
    """Remove the sockets that it opens in /tmp whatever its settings, and leaves behind when killed."""
    for part in LOCAL_SOCKETS:
        port = context.ports.of(f"seaweedfs {part} grpc")
        with suppress(OSError):
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108
