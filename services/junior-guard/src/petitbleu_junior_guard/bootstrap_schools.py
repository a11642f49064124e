"""Wires classes of schools into junior-guard."""

from __future__ import annotations

import asyncpg
import grpc.aio

from petitbleu.junior_guard.v1 import schools_pb2_grpc
from petitbleu_junior_guard.adapters.school_directory import AccountsDirectory
from petitbleu_junior_guard.adapters.schools import PostgresSchools
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.grpc_schools import SchoolServicer
from petitbleu_junior_guard.service.schools import Schools
from petitbleu_kit.rpc import Peer


def add_schools(
    server: grpc.aio.Server, pool: asyncpg.Pool[asyncpg.Record], accounts: Peer, seconds: float, seal: Seal
) -> None:
    """Serve SchoolService; `seconds` is the deadline of a call to accounts."""
    schools = Schools(PostgresSchools(pool), AccountsDirectory(accounts, seconds), seal)
    schools_pb2_grpc.add_SchoolServiceServicer_to_server(SchoolServicer(schools), server)
