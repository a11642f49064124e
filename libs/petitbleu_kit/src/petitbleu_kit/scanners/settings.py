"""Where scanners are and what follows when they are down: settings that all who ask them read, so that every way in has one policy."""

from __future__ import annotations

import time
from typing import Literal, Self

from prometheus_client import Counter
from pydantic import Field, model_validator

from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.scanners.clamd import Clamd
from petitbleu_kit.scanners.rspamd import Rspamd
from petitbleu_kit.scanners.scanning import Scanner, Scanners


class ScannerSettings(ServiceSettings):
    """Settings of a service that has mail looked through."""

    rspamd_url: str = Field("", description="rspamd, `http://host:port` of its normal worker or its proxy; mail is sent to it when set.")  # fmt: skip
    clamd: str = Field("", description="clamd, `host:port` or `unix:/path`; mail is sent to it when set.")
    scan_seconds: float = Field(10, gt=0, description="Time for each step with a scanner: connection, each piece, its answer.")  # fmt: skip
    clamd_down: Literal["open", "tempfail"] = Field("open", description="What is done with mail while clamd does not answer: taken, or 451 4.7.0.")  # fmt: skip

    @model_validator(mode="after")
    def _scanners_are_places(self) -> Self:
        if self.rspamd_url:
            Rspamd(self.rspamd_url)
        if self.clamd and not self.clamd.startswith("unix:") and not self.clamd.rpartition(":")[2].isdecimal():
            raise ValueError("clamd is host:port or unix:/path")
        return self

    @property
    def virus_scanner_must_answer(self) -> bool:
        """Whether mail that clamd did not look at must come again."""
        return self.clamd_down == "tempfail"

    def scanners(self, scans: Counter | None = None) -> Scanners:
        """Return those that are configured; `scans` counts their answers, by scanner and answer."""
        found: list[Scanner] = []
        if self.clamd:
            found.append(Clamd(self.clamd))
        if self.rspamd_url:
            found.append(Rspamd(self.rspamd_url))
        return Scanners(found, self.scan_seconds, time.monotonic, scans)
