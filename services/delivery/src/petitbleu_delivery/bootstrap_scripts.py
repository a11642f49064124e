"""Wires the rules of mailboxes."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
import grpc.aio

from petitbleu.delivery.v1 import scripts_pb2_grpc
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.grpc_scripts import ScriptServicer
from petitbleu_delivery.service.scripts.keeping import ScriptKeeping


@dataclass(frozen=True, slots=True)
class ScriptParts:
    """The rules, wired."""

    keeping: ScriptKeeping
    seal: Seal

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer people's requests."""
        scripts_pb2_grpc.add_ScriptServiceServicer_to_server(ScriptServicer(self.keeping), server)


def script_parts(settings: DeliverySettings, pool: asyncpg.Pool[asyncpg.Record]) -> ScriptParts:
    """Return what keeps and carries out rules.

    Raises:
        StartupError: the key cannot be read.
    """
    seal = Seal(read_key(settings.key_file()), "scripts")
    return ScriptParts(ScriptKeeping(pool, seal), seal)
