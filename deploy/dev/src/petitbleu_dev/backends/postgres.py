"""PostgreSQL 18, the system of record: cluster, settings, one role and schema a service."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from urllib.parse import quote

import asyncpg

from petitbleu_dev import binaries, credentials
from petitbleu_dev.backends.context import Context
from petitbleu_dev.errors import StackError
from petitbleu_dev.layout import GRPC_SERVICES
from petitbleu_dev.process import Program
from petitbleu_dev.shim import NOBODY

MAJOR = "18"
DATABASE = "petitbleu"
FILER_DATABASE = "seaweedfs"
SUPERUSER = "postgres"

SETTINGS = {
    # Sockets only: the directory, of mode 0700, is the first lock and the password the second.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    # 250 means durable.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Mostly ciphertext: compressing page images (this build has pglz only) costs CPU and gains little.
    "wal_compression": "off",
    # Only what is touched is taken. With 100,000 accounts the rows that mail meets are 400 MB, and
    # a page that is not here costs a copy from the kernel, and often the writing of another.
    "shared_buffers": "512MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "maintenance_work_mem": "64MB",
    "work_mem": "8MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    # Reads come from memory nearly always, so worker processes for them would only idle.
    "io_method": "sync",
    # Queue tables (outbox, open recipients) turn over fast: vacuum them early, and finish soon.
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "30s",
    "autovacuum_vacuum_scale_factor": "0.1",
    "autovacuum_vacuum_insert_scale_factor": "0.2",
    # Hot statements have plans that no statistics change, and an analysis of all tables slows the mail of that second.
    "autovacuum_analyze_scale_factor": "0.2",
    "autovacuum_vacuum_cost_limit": "2000",
    "idle_in_transaction_session_timeout": "60s",
    # Logs carry no address and no subject: neither statements nor their parameters nor DETAIL lines.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %u %e ",
    "log_destination": "stderr",
    "logging_collector": "off",
}

HBA = "local all all scram-sha-256\n"


def role_of(service: str) -> str:
    """Role, and schema, of a service."""
    return service.replace("-", "_")


def dsn(context: Context, role: str, database: str = DATABASE) -> str:
    """Connection string of a role, its password included."""
    secret = credentials.password(context.layout.secrets, f"postgres-{role}")
    host = quote(str(context.layout.postgres_socket), safe="/")
    return f"postgresql://{role}:{quote(secret, safe='')}@/{database}?host={host}"


async def program(context: Context) -> Program:
    """PostgreSQL as a program to supervise, as an unprivileged user when the caller is root."""
    options = await _unprivileged(context)
    cluster = context.layout.postgres

    async def prepare() -> None:
        await _ensure_cluster(context, options)

    async def settle() -> None:
        try:
            await _ensure_roles(context)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StackError(f"its roles cannot be set up: {error}") from None

    return Program(
        name="postgres",
        argv=(
            str(binaries.postgres("postgres")),
            "-D",
            str(cluster),
            f"--unix_socket_directories={context.layout.postgres_socket}",
        ),
        environment=context.environment,
        log=context.layout.log("postgres"),
        probe=lambda: _answers(context),
        prepare=prepare,
        settle=settle,
        shim=options,
        stop_signal=signal.SIGINT,  # the "fast" shutdown: sessions are ended, then a checkpoint
        stop_seconds=30,
        crash_signal=signal.SIGQUIT,  # the "immediate" one: it takes its children and shared memory along
        tier=0,
    )


def check_version(context: Context) -> None:
    """Refuse a cluster of another major version.

    Raises:
        StackError: the cluster is not of PostgreSQL 18.
    """
    marker = context.layout.postgres / "PG_VERSION"
    if marker.exists() and (found := marker.read_text(encoding="ascii").strip()) != MAJOR:
        raise StackError(
            f"{context.layout.data} was made by PostgreSQL {found} and this is PostgreSQL {MAJOR}: "
            "dump it with the old version and restore it here, or start with an empty PETITBLEU_DATA"
        )


async def _unprivileged(context: Context) -> tuple[str, ...]:
    """Options of the shim under which PostgreSQL, which refuses root and users without a name, may run."""
    user = os.geteuid()
    if user != 0 and _has_name(user):
        return ()
    given_away = context.layout.postgres.exists() and context.layout.postgres.stat().st_uid == NOBODY
    status, _ = await context.offspring.run(("/bin/true",), context.environment, options=("--userns",))
    if status == 0 and not given_away:
        context.say(f"postgres: started by user {user}, runs in a user namespace of its own")
        return ("--userns",)
    if user != 0:
        raise StackError(f"PostgreSQL needs a name for user {user} in /etc/passwd, and user namespaces are not allowed")
    why = "its directory belongs to that user" if given_away else "user namespaces are not allowed"
    context.say(f"postgres: started by root, runs as user {NOBODY}, since {why}")
    # That user must reach its own directories through ours.
    for path in (context.layout.data, context.layout.run):
        path.chmod(0o711)
    for path in (context.layout.postgres_socket, context.layout.postgres):
        if path.exists():
            _give_away(str(path))
    return ("--user", str(NOBODY))


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _give_away(root: str) -> None:
    os.chown(root, NOBODY, NOBODY)
    for directory, folders, files in os.walk(root):
        for name in (*folders, *files):
            os.chown(os.path.join(directory, name), NOBODY, NOBODY, follow_symlinks=False)  # noqa: PTH118


async def _ensure_cluster(context: Context, options: tuple[str, ...]) -> None:
    check_version(context)
    cluster = context.layout.postgres
    if not (cluster / "PG_VERSION").exists():
        await _make_cluster(context, options)
    lines = [f"{name} = '{value}'" for name, value in SETTINGS.items()]
    lines += ["# Settings of the machine's operator win.", "include_if_exists '../postgres.local.conf'", ""]
    _write_inside(cluster / "postgresql.conf", "\n".join(lines))
    _write_inside(cluster / "pg_hba.conf", HBA)


async def _make_cluster(context: Context, options: tuple[str, ...]) -> None:
    """Run initdb beside the final place, so that a cluster is either whole or absent."""
    draft = context.layout.data / "postgres.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    secret = credentials.password(context.layout.secrets, f"postgres-{SUPERUSER}")
    # initdb reads it as the user that it runs as, who cannot see our own directory of secrets.
    password_file = context.layout.postgres_socket / "password"
    credentials.write_private(password_file, secret.encode())
    if "--user" in options:
        for path in (draft, password_file):
            os.chown(path, NOBODY, NOBODY)
    status, output = await context.offspring.run(
        (
            str(binaries.postgres("initdb")),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
        ),
        context.environment,
        options=options,
    )
    password_file.unlink(missing_ok=True)
    if status != 0:
        said = [line.strip() for line in output.splitlines() if line.strip()]
        raise StackError(f"initdb failed: {' / '.join(said[-2:])}")
    draft.rename(context.layout.postgres)


def _write_inside(path: os.PathLike[str], text: str) -> None:
    """Rewrite a file of the cluster, leaving its owner as it is."""
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - keeps the inode, hence the owner
        file.write(text)


async def _answers(context: Context) -> bool:
    try:
        connection = await _connect(context, "postgres")
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def _connect(context: Context, database: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn(context, SUPERUSER, database), timeout=5)


async def _ensure_roles(context: Context) -> None:
    """Databases, roles and schemas; repeated at every start, so that a new service needs no migration of ours."""
    roles = [role_of(service) for service in GRPC_SERVICES]
    connection = await _connect(context, "postgres")
    try:
        for role in (*roles, FILER_DATABASE):
            exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
            secret = credentials.password(context.layout.secrets, f"postgres-{role}")
            verb = "ALTER" if exists else "CREATE"
            # The password is of base64's URL alphabet and the role is ours, so neither needs quoting rules.
            await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{secret}'")
        for database, owner in ((DATABASE, SUPERUSER), (FILER_DATABASE, FILER_DATABASE)):
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
                await connection.execute(f"CREATE DATABASE {database} OWNER {owner}")
            await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {', '.join(roles)}")
    finally:
        await connection.close()
    connection = await _connect(context, DATABASE)
    try:
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for role in roles:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}")
            await connection.execute(f"ALTER ROLE {role} SET search_path = {role}")
    finally:
        await connection.close()
