"""Wires the addresses from which mail leaves."""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from petitbleu_delivery.adapters.source_rows import SourceRows
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.sources import Pools, Source, parse_pools
from petitbleu_delivery.service.outbound.sources import Sources
from petitbleu_kit.lifecycle import StartupError, forever

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends

_LOOK_SECONDS: Final = 30.0
_FLUSH_SECONDS: Final = 5.0


def source_rows(opened: Backends) -> SourceRows:
    """Return the tables, with the curve that the settings give."""
    settings = opened.settings
    return SourceRows(
        opened.pool, settings.outbound_warm_first, settings.outbound_warm_full, settings.outbound_warm_days
    )


async def open_sources(opened: Backends) -> Sources | None:
    """Return who chooses; None where the operator names no address.

    Raises:
        StartupError: a setting cannot be read, or an address is not this machine's.
    """
    pools = _pools_of(opened.settings)
    if pools is None:
        return None
    for source in pools.sources:
        _bind(source)
    sources = Sources(pools, source_rows(opened))
    await sources.look()
    return sources


def sources_work(sources: Sources | None) -> list[Awaitable[None]]:
    """Return what goes on in the background."""
    if sources is None:
        return []
    return [
        forever("delivery.sources.look", _LOOK_SECONDS, sources.look),
        forever("delivery.sources.flush", _FLUSH_SECONDS, sources.flush),
    ]


def _pools_of(settings: DeliverySettings) -> Pools | None:
    try:
        return parse_pools(settings.outbound_sources, settings.outbound_source_rules)
    except ValueError as error:
        raise StartupError(f"PETITBLEU_OUTBOUND_SOURCES or …_SOURCE_RULES: {error}") from None


def _bind(source: Source) -> None:
    """See that an address is ours, now: with one that is not, its mail would wait for five days."""
    family = socket.AF_INET if source.family == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as one:
        try:
            one.bind((source.address, 0))
        except OSError:
            raise StartupError(f"PETITBLEU_OUTBOUND_SOURCES: {source.address} is no address of this machine") from None
