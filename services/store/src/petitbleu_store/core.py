"""What both halves of the store share, made once by bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg
from nats.aio.client import Client

from petitbleu_kit.identity import Verifier
from petitbleu_kit.kept_connections import KeptConnections
from petitbleu_kit.outbox import Outbox
from petitbleu_store.adapters.s3 import Objects
from petitbleu_store.config import StoreSettings
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.account_keys import AccountKeys
from petitbleu_store.service.bodies import Bodies
from petitbleu_store.service.intake import Intake
from petitbleu_store.service.recipients import Recipients
from petitbleu_store.service.ring import Ring
from petitbleu_store.service.staging import Staging


@dataclass(frozen=True, slots=True)
class Core:
    """The shared parts.

    Attributes:
        settings: The settings.
        pool: PostgreSQL for hot statements: plans are generic and use indexes only (no planning per call, no scan of a table).
        cold: PostgreSQL for everything else.
        reads: Connections of `pool` for short reads by single statements.
        outbox: Facts that leave for the bus (`insert` in the transaction, `published_soon` after it).
        bus: The bus.
        objects: S3.
        intake: Keys and envelopes of accepted messages: `intake.load(connection, ids)`.
        account_keys: Account keys: `generate`, `unwrap`, `forget`.
        book: Accounts read lately.
        bodies: Reading sealed bodies (`read_many`, `stream`) and writing hot ones (`insert_hot`).
        ring: The hot tables; `ring.slot` is where to write now.
        staging: Large bodies on their way to S3: `put`, and `claim(connection, staged)` in the transaction.
        recipients: Open recipients: `list_open`, `settle(connection, items)`.
        decisions: Verifies tokens made for the store, such as decisions of junior-guard.
    """

    settings: StoreSettings
    pool: asyncpg.Pool[Any]
    cold: asyncpg.Pool[Any]
    reads: KeptConnections
    outbox: Outbox
    bus: Client
    objects: Objects
    intake: Intake
    account_keys: AccountKeys
    book: AccountBook
    bodies: Bodies
    ring: Ring
    staging: Staging
    recipients: Recipients
    decisions: Verifier
