"""Wires the rules of mailboxes."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

import asyncpg
import grpc.aio

from petitbleu.delivery.v1 import filters_pb2_grpc, scripts_pb2_grpc, senders_pb2_grpc
from petitbleu_delivery.adapters.conduct_rows import ConductRows
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.adapters.rule_peers import RulePeers
from petitbleu_delivery.adapters.rule_rows import RuleMemory
from petitbleu_delivery.bootstrap_abuse import correspondent_key
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.bounce_token import BounceTokenMode
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.grpc_filters import FilterFormServicer
from petitbleu_delivery.grpc_scripts import ScriptServicer
from petitbleu_delivery.grpc_senders import SenderListServicer
from petitbleu_delivery.service.bounces.return_paths import ReturnPaths
from petitbleu_delivery.service.contacts import Contacts
from petitbleu_delivery.service.domains.signing import DomainKeys
from petitbleu_delivery.service.permits import Permits
from petitbleu_delivery.service.scripts.carrying import Means
from petitbleu_delivery.service.scripts.erasure import erase_closed
from petitbleu_delivery.service.scripts.forms import FilterForms
from petitbleu_delivery.service.scripts.forwarding import sealer
from petitbleu_delivery.service.scripts.rulebook import Rulebook
from petitbleu_delivery.service.scripts.rulings import Rulings
from petitbleu_delivery.service.scripts.senders import SenderLists
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.outbox import Outbox
from petitbleu_kit.rpc import Peer


@dataclass(frozen=True, slots=True)
class ScriptParts:
    """The rules, wired."""

    keeping: FilterForms
    rulings: Rulings
    memory: RuleMemory
    peers: RulePeers
    pool: asyncpg.Pool[asyncpg.Record]
    senders: SenderLists
    contacts: Contacts
    paths: ReturnPaths

    async def upkeep(self) -> None:
        """Forget what is over, and what closed accounts left; called every hour."""
        await self.memory.expire()
        await erase_closed(self.pool, self.peers)

    def tasks(self) -> list[Awaitable[None]]:
        """Return what runs beside."""
        return [
            forever("delivery.rules", 3600.0, self.upkeep), forever("delivery.contacts", 1.0, self.contacts.flush),
        ]  # fmt: skip

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer people's requests."""
        scripts_pb2_grpc.add_ScriptServiceServicer_to_server(ScriptServicer(self.keeping), server)
        filters_pb2_grpc.add_FilterFormServiceServicer_to_server(FilterFormServicer(self.keeping), server)
        senders_pb2_grpc.add_SenderListServiceServicer_to_server(SenderListServicer(self.senders), server)


def script_parts(
    settings: DeliverySettings, pool: asyncpg.Pool[asyncpg.Record], store: Peer, accounts: Peer, keys: DomainKeys,
    permits: Permits, outbox: Outbox,
) -> ScriptParts:  # fmt: skip
    """Return what keeps and carries out rules.

    Raises:
        StartupError: the key cannot be read.
    """
    seal = Seal(read_key(settings.key_file()), "scripts")
    peers = RulePeers(store, accounts, settings.delivery_call_seconds, settings.delivery_commit_seconds)
    memory = RuleMemory(pool)
    forward = sealer(keys, settings.own_name)
    senders = SenderLists(pool, Seal(read_key(settings.key_file()), "senders"))
    contacts = Contacts(ConductRows(pool), senders, correspondent_key(settings))
    # a token teaches what a bounce says (ADR 39), and fits behind no rewritten sender
    rewrites = settings.srs == "on" and settings.bounce_tokens is BounceTokenMode.OFF
    paths = ReturnPaths(peers, Seal(read_key(settings.key_file()), "srs"), rewrites=rewrites)
    means = Means(peers, memory, seal, forward, permits, paths, settings.hostname)
    rulings = Rulings(Rulebook(pool, seal), means, senders, contacts)
    return ScriptParts(FilterForms(pool, seal, outbox), rulings, memory, peers, pool, senders, contacts, paths)
