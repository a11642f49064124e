"""Settings of delivery, read from `PETITBLEU_…` variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from petitbleu_kit.config import ServiceSettings

_SOURCE_TREE = Path(__file__).parents[2] / "migrations"
_PACKAGE = Path(__file__).parent / "migrations"


class DeliverySettings(ServiceSettings):
    """What an operator may set. Defaults suit the embedded stack and a cluster alike."""

    delivery_round_recipients: int = Field(
        256, ge=1, le=1000,
        description="Most recipients in one round; halved after a round that failed, doubled back by rounds that work. "
        "store takes at most 1,000 items a call.",
    )  # fmt: skip
    delivery_events: int = Field(
        128, ge=1, le=1000,
        description="Most events handled as one list. An event names up to 1,000 messages and is acknowledged only when "
        "all of the list is settled; meanwhile the bus is told that work goes on.",
    )  # fmt: skip
    delivery_gather_ms: int = Field(
        8, ge=0, le=1000,
        description="After a list of several events, that is under load, wait so long for more before the next round: a "
        "round costs about as much for one message as for thirty. A lone message on an idle system never waits.",
    )  # fmt: skip
    delivery_ack_seconds: int = Field(
        10, ge=5, le=600,
        description="After this long without a sign of life the bus hands an event out again: the time that mail waits "
        "when a process of delivery was killed.",
    )  # fmt: skip
    delivery_cache_seconds: float = Field(
        60, ge=0, le=60,
        description="How long an answer of the directory is believed; events of accounts make it shorter. 0 remembers nothing.",
    )  # fmt: skip
    delivery_cache_entries: int = Field(
        20_000, ge=0,
        description="Most addresses and targets remembered, counted together: about 0.5 KB each.",
    )  # fmt: skip
    delivery_call_seconds: float = Field(5, gt=0, description="Deadline of a look-up at store or accounts.")
    delivery_commit_seconds: float = Field(15, gt=0, description="Deadline of a call to store that commits.")
    delivery_guard_seconds: float = Field(
        2, gt=0, description="Deadline of a question to junior-guard; without an answer the recipient waits."
    )
    delivery_drain_seconds: float = Field(
        8, gt=0, description="At SIGTERM, seconds for the list in hand to be settled."
    )
    delivery_key_file: Path | None = Field(
        None, description="The file of the key (32 octets in base64) under which delivery seals what it keeps of people; "
        "data/keys/delivery.key when it is not set. With another one nothing kept can be read.",
    )  # fmt: skip
    migrations_dir: Path = Field(
        _SOURCE_TREE if _SOURCE_TREE.is_dir() else _PACKAGE, description="Where the migrations are."
    )

    def key_file(self) -> Path:
        """Return where the key is."""
        return self.delivery_key_file or self.data / "keys" / "delivery.key"
