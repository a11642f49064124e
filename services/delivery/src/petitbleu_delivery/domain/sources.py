"""Addresses from which mail leaves: pools of them, who uses which, and what answers say of them. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

from petitbleu_delivery.domain.outbound import Priority, Reply

_POOL: Final = re.compile(r"[a-z0-9-]{1,32}")
_NAME: Final = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_RULE: Final = re.compile(r"(?:tenant ([0-9]{1,18}))? ?(notice|person|bulk)?|\*")
# A second level under which a country registers others' domains, as co.uk: short, under a country's two letters.
_SHORT: Final = 3


class Source(NamedTuple):
    """An address of this machine's, and the name that we say in EHLO from there."""

    pool: str
    address: str
    name: str

    @property
    def family(self) -> int:
        """4 or 6."""
        return ip_address(self.address).version


class Rule(NamedTuple):
    """Who uses a pool: a tenant (None: all), a class (None: all)."""

    tenant_id: int | None
    priority: int | None
    pool: str

    def fits(self, tenant_id: int, priority: int) -> bool:
        """Whether it is for these."""
        return self.tenant_id in {None, tenant_id} and self.priority in {None, priority}


class Pools(NamedTuple):
    """Pools by name, and the rules in order; mail that none fits leaves by the first pool."""

    pools: dict[str, tuple[Source, ...]]
    rules: tuple[Rule, ...]

    def of(self, tenant_id: int, priority: int) -> str:
        """Return the pool by which a tenant's mail of a class leaves."""
        return next((rule.pool for rule in self.rules if rule.fits(tenant_id, priority)), next(iter(self.pools)))

    @property
    def sources(self) -> list[Source]:
        """All of them."""
        return [source for pool in self.pools.values() for source in pool]


def parse_pools(sources: str, rules: str) -> Pools | None:
    """Read the settings: `pool=address name, address name; pool=…` and `tenant 12=pool; bulk=pool; *=pool`; None for no source.

    Raises:
        ValueError: they are something else.
    """
    pools: dict[str, tuple[Source, ...]] = {}
    for part in _parts(sources, ";"):
        pool, _, rest = (one.strip() for one in part.partition("="))
        if _POOL.fullmatch(pool) is None or pool in pools:
            raise ValueError("a pool is a short name, once")
        pools[pool] = tuple(_source(pool, text) for text in _parts(rest, ","))
        if not pools[pool]:
            raise ValueError("a pool has an address")
    found = tuple(_rule(part, pools) for part in _parts(rules, ";"))
    addresses = [source.address for pool in pools.values() for source in pool]
    if len(set(addresses)) != len(addresses):
        raise ValueError("an address is in one pool")
    return Pools(pools, found) if pools else None


def _parts(text: str, mark: str) -> list[str]:
    return [part.strip() for part in text.split(mark) if part.strip()]


def _source(pool: str, text: str) -> Source:
    address, _, name = text.partition(" ")
    if _NAME.fullmatch(name.strip()) is None:
        raise ValueError("an address has the name that is said from it")
    return Source(pool, str(ip_address(address)), name.strip())


def _rule(part: str, pools: dict[str, tuple[Source, ...]]) -> Rule:
    who, _, pool = (one.strip() for one in part.partition("="))
    found = _RULE.fullmatch(who)
    if not who or found is None or pool not in pools:
        raise ValueError("a rule is tenant, class, or both, and a pool")
    tenant, kind = found[1], found[2]
    return Rule(int(tenant) if tenant else None, Priority[kind.upper()].value if kind else None, pool)


def provider_of(host: str) -> str:
    """Return whose a mail exchanger is: the domain under which its name is registered, as far as a name says; an address as it is.

    Two labels, or three where the second is a country's own, as in `mx.example.co.uk`. One that is guessed wrong has too small or too
    large a share of the counts, nothing else.
    """
    labels = host.lower().rstrip(".").split(".")
    if ":" in host or labels[-1].isdecimal():
        return host.lower()
    registry = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= _SHORT
    return ".".join(labels[-3 if registry else -2 :])


def complaint(reply: Reply) -> int:
    """Say how much an answer of a server speaks against the address that it saw: 0 not at all, 3 plainly.

    X.7.x are security and policy (RFC 3463 §3.8): one may be a recipient's own rule; with 421 or 554 a server sends the whole address away.
    """
    if reply.code // 100 not in {4, 5} or not reply.enhanced.startswith(("4.7.", "5.7.")):
        return 0
    return 3 if reply.code in {421, 554} else 1
