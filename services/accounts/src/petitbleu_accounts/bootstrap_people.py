"""How sign-up is put together."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

import grpc.aio

from petitbleu.accounts.v1 import people_pb2_grpc
from petitbleu_accounts.adapters.argon2_pool import PasswordPool
from petitbleu_accounts.adapters.database import Pool
from petitbleu_accounts.adapters.postgres_accounts import PostgresAccounts
from petitbleu_accounts.adapters.postgres_changes import PostgresChanges
from petitbleu_accounts.adapters.postgres_secrets import server_secret
from petitbleu_accounts.adapters.postgres_sign_up import PostgresSignUp
from petitbleu_accounts.config import Settings
from petitbleu_accounts.grpc_api.people import SignUpApi
from petitbleu_accounts.ports import Windows
from petitbleu_accounts.service.authentication import Authentication
from petitbleu_accounts.service.creation import Creation
from petitbleu_accounts.service.limits import LoginLimits
from petitbleu_accounts.service.memory import CredentialMemory
from petitbleu_accounts.service.sign_up import Recovering, SignUp
from petitbleu_kit.lifecycle import forever

_SECRET_OCTETS: Final = 32
_PRUNE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Parts:
    """What sign-up is made with."""

    settings: Settings
    pool: Pool
    creation: Creation
    authentication: Authentication
    accounts: PostgresAccounts
    changes: PostgresChanges
    passwords: PasswordPool
    limits: LoginLimits
    memory: CredentialMemory
    hourly: Windows


async def add_sign_up(server: grpc.aio.Server, parts: Parts) -> list[Awaitable[None]]:
    """Serve sign-up; return what keeps its tables."""
    table = PostgresSignUp(parts.pool)
    key = await server_secret(parts.pool, "challenges", secrets.token_bytes(_SECRET_OCTETS))
    sign_up = SignUp(
        parts.settings, table, parts.creation, parts.hourly, key, parts.authentication, parts.accounts, parts.limits
    )
    recovering = Recovering(
        parts.settings, table, parts.changes, parts.passwords, parts.limits, parts.memory, parts.authentication
    )
    people_pb2_grpc.add_SignUpServiceServicer_to_server(SignUpApi(parts.settings, sign_up, recovering), server)
    return [
        forever("accounts.alike", parts.settings.sweep_seconds, sign_up.see),
        forever("accounts.challenges", _PRUNE_SECONDS, table.prune),
    ]
