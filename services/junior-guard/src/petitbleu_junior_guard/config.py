"""Settings of junior-guard, read from `PETITBLEU_…` variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from petitbleu_kit.config import ServiceSettings

_SOURCE_TREE = Path(__file__).parents[2] / "migrations"
_PACKAGE = Path(__file__).parent / "migrations"


class JuniorGuardSettings(ServiceSettings):
    """What an operator may set."""

    junior_guard_key_file: Path | None = Field(
        None,
        description="32 random bytes, base64: keyed hashes and seals of correspondents' addresses derive from it. "
        "`{data}/keys/junior-guard.key` when unset; made at the very first start, never again.",
    )
    junior_guard_token_seconds: int = Field(
        300, ge=10, le=3600, description="How long store accepts a decision; afterwards delivery asks again."
    )
    junior_guard_store_seconds: float = Field(10, gt=0, description="Deadline of a call to store.")
    junior_guard_upkeep_seconds: float = Field(
        60,
        gt=0,
        description="How often decisions that store did not carry out are repeated, and what waited too long expires.",
    )
    junior_guard_alert_seconds: float = Field(
        5,
        gt=0,
        description="How often it is looked whether guardians are to be told something; each is written to once an hour at most.",
    )
    public_url: str = Field(
        "",
        description="Origin of the web app, as https://mail.example.org; alerts have links to it. Without, they have none.",
    )
    migrations_dir: Path = Field(
        _SOURCE_TREE if _SOURCE_TREE.is_dir() else _PACKAGE, description="Where the migrations are."
    )

    def key_file(self) -> Path:
        """Where the key is."""
        return self.junior_guard_key_file or self.data / "keys" / "junior-guard.key"
