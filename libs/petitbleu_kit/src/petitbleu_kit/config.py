"""Settings that every service reads from its environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """A variable says what cannot be; the text is one line that names each such variable, never its value."""


class ServiceSettings(BaseSettings):
    """Base of each service's settings: frozen, from `PETITBLEU_…` variables only."""

    model_config = SettingsConfigDict(env_prefix="PETITBLEU_", frozen=True, extra="ignore")

    data: Path = Field(Path(".data"), description="Where the embedded stack keeps its data.")
    run_dir: Path | None = Field(None, description="Directory of unix sockets; `{data}/run` when unset.")
    port_offset: int = Field(0, description="Added to every default port, so that several stacks run on one machine.")
    listen: str = Field("", description="Address of this service's gRPC server, `unix:/path` or `host:port`.")
    health_port: int = Field(0, description="Port of /metrics, /livez and /health/ready on `health_host`; 0 for none.")
    health_host: str = Field("127.0.0.1", description="Address that the health port is bound to.")
    log_level: str = Field("INFO", description="Least level that is logged.")
    security_log_ips: bool = Field(True, description="Whether the security log names client addresses.")

    identity_key: Path | None = Field(None, description="Ed25519 private key (PEM) that signs this service's tokens.")
    identity_dir: Path | None = Field(
        None, description="Directory of `<service>.pub`, the public keys of all services."
    )
    operator_token_file: Path | None = Field(None, description="File with the operator's token.")

    pg_dsn: str = Field("", description="PostgreSQL DSN of this service's role.")
    pg_pool_size: int = Field(8, description="Connections to PostgreSQL a process.")
    nats_url: str = Field("nats://127.0.0.1:24222", description="NATS servers, comma separated.")
    nats_user: str = Field("", description="NATS user.")
    nats_password: str = Field("", description="NATS password.")
    redis_url: str = Field("", description="Redis, for what may be lost.")

    egress_allow: str = Field(
        "",
        description="Networks (`cidr,…`) that URLs given by people may lead to although they are not public; for tests.",
    )
    egress_refuse: str = Field(
        "",
        description="Networks (`cidr,…`) that they may not lead to although they are public, such as the operator's own.",
    )
    egress_ports: str = Field("80,443", description="Ports that such URLs may name, comma separated.")
    dns: str = Field(
        "", description="Resolver (`address:port`) for names of the outside; the machine's own when empty."
    )
    ca_file: Path | None = Field(None, description="File (PEM) of a further authority that outgoing TLS believes.")

    store_target: str = Field("", description="gRPC address of store.")
    accounts_target: str = Field("", description="gRPC address of accounts.")
    delivery_target: str = Field("", description="gRPC address of delivery.")
    junior_guard_target: str = Field("", description="gRPC address of junior-guard.")

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: a variable has no usable value.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_variable(each["loc"]) + each["msg"] for each in error.errors())) from None

    @classmethod
    def read_or_exit(cls, service: str) -> Self:
        """Read the environment; with no usable settings end the process by one line, which is the last of its log."""
        try:
            return cls.read()
        except SettingsError as error:
            sys.stderr.write(f"{service}: {error}\n")
            raise SystemExit(1) from None

    def sockets(self) -> Path:
        """Directory of the unix sockets."""
        return self.run_dir or self.data / "run"

    def target(self, service: str) -> str:
        """GRPC address of a peer service, the embedded socket when its variable is unset."""
        explicit: str = getattr(self, f"{service.replace('-', '_')}_target")
        return explicit or f"unix:{(self.sockets() / f'{service}.sock').resolve()}"

    def listen_address(self, service: str) -> str:
        """GRPC address that this service listens on, the embedded socket when unset."""
        return self.listen or f"unix:{(self.sockets() / f'{service}.sock').resolve()}"


def _variable(location: tuple[int | str, ...]) -> str:
    """Name of the variable that a complaint is about; empty when it is about several together."""
    return f"PETITBLEU_{location[0]}: ".upper() if location else ""
