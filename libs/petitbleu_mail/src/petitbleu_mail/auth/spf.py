"""Sender Policy Framework (RFC 7208): whether a client may use a domain in MAIL FROM or HELO, with every limit on the work of it."""

from __future__ import annotations

from collections.abc import Coroutine
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar

import msgspec

from petitbleu_mail.auth.macros import MacroError, MacroString, expand, parse_macro_string, spelled, target_name
from petitbleu_mail.auth.resolver import (
    NoSuchNameError,
    Resolver,
    TemporaryDnsError,
    addresses_of,
    ascii_domain,
    askable,
    names_of_client,
    unmapped,
)
from petitbleu_mail.auth.spf_record import (
    MAX_RECORD,
    Directive,
    SpfRecord,
    SpfSyntaxError,
    parse_record,
    select_records,
)

# RFC 7208 §4.6.4: terms that look something up, in the whole check
MAX_TERMS = 10
# RFC 7208 §4.6.4: look-ups that find nothing
MAX_VOIDS = 2
# RFC 7208 §4.6.4: names of one MX or PTR look-up whose addresses are asked for
MAX_NAMES = 10
# RFC 5321 §4.5.3.1.5: a reply line has 512 octets, its codes and the words before an explanation included
MAX_EXPLANATION = 400


class SpfResult(Enum):
    """RFC 7208 §2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class SpfOutcome(msgspec.Struct, frozen=True):
    """The result for `domain`, as lower-case A-labels, which is the identity that was checked ("mailfrom" or "helo").

    `problem` says why it is an error or none, and names no one. `explanation` is the domain owner's own text for a fail,
    printable ASCII: a stranger's words, to be shown as such (RFC 7208 §6.2).
    """

    result: SpfResult
    domain: str
    identity: str
    problem: str = ""
    explanation: str | None = None


_Answer = TypeVar("_Answer")
_QUALIFIED = {"+": SpfResult.PASS, "-": SpfResult.FAIL, "~": SpfResult.SOFTFAIL, "?": SpfResult.NEUTRAL}


class _EndError(Exception):
    """Ends the check at once with an error as its result (RFC 7208 §4.6, §4.6.4, §5)."""

    def __init__(self, result: SpfResult, problem: str) -> None:
        super().__init__(problem)
        self.result = result
        self.problem = problem


async def check_mail_from(
    resolver: Resolver,
    client: IPv4Address | IPv6Address,
    mail_from: str,
    helo: str,
    *,
    receiver: str = "unknown",
    now: int = 0,
) -> SpfOutcome:
    """Check the MAIL FROM identity; `mail_from` is the reverse-path without brackets, "" for the null one.

    `receiver` and `now` (Unix seconds) are for the macros `r` and `t` of explanations. Never raises.
    """
    # RFC 7208 §2.4: with a null reverse-path it is postmaster at the HELO name
    local, _, domain = mail_from.rpartition("@") if mail_from else ("", "", helo)
    return await _Check(resolver, client, local, domain, helo, receiver, now).run("mailfrom")


async def check_helo(
    resolver: Resolver, client: IPv4Address | IPv6Address, helo: str, *, receiver: str = "unknown", now: int = 0
) -> SpfOutcome:
    """Check the HELO identity (RFC 7208 §2.3). Never raises."""
    return await _Check(resolver, client, "", helo, helo, receiver, now).run("helo")


class _Check:
    """One check_host() with all that is included and redirected to (RFC 7208 §4.1); the counts are of the whole."""

    def __init__(
        self,
        resolver: Resolver,
        client: IPv4Address | IPv6Address,
        local: str,
        domain: str,
        helo: str,
        receiver: str,
        now: int,
    ) -> None:
        self.resolver = resolver
        self.client = unmapped(client)
        self.local = local or "postmaster"  # RFC 7208 §4.3
        self.domain = ascii_domain(domain)
        self.terms = 0
        self.voids = 0
        self.names: tuple[str, ...] | None = None
        self.values = {
            "s": f"{self.local}@{self.domain}",
            "l": self.local,
            "o": self.domain,
            "i": spelled(self.client),
            "v": "in-addr" if self.client.version == 4 else "ip6",
            "h": helo,
            "c": str(self.client),
            "r": receiver,
            "t": str(now),
        }

    async def run(self, identity: str) -> SpfOutcome:
        try:
            result, explanation, owner = await self._host(self.domain)
        except _EndError as end:
            return SpfOutcome(end.result, self.domain, identity, end.problem)
        if result is SpfResult.NONE:
            return SpfOutcome(result, self.domain, identity, "no record")
        text = None
        if result is SpfResult.FAIL and explanation is not None:
            text = await self._explanation(explanation, owner)
        return SpfOutcome(result, self.domain, identity, "", text)

    async def _host(self, domain: str) -> tuple[SpfResult, MacroString | None, str]:
        """Evaluate the record of a domain; return the result, the `exp` that goes with it and the domain it stands at."""
        record = await self._record(domain)
        if record is None:
            return SpfResult.NONE, None, domain
        for directive in record.directives:
            if await self._matches(directive, domain):  # RFC 7208 §4.6.2: the first match ends it
                return _QUALIFIED[directive.qualifier], record.explanation, domain
        if record.redirect is None:
            return SpfResult.NEUTRAL, None, domain  # RFC 7208 §4.7
        # RFC 7208 §6.1: the other record is evaluated in place of this one, its `exp` included
        self._count_term()
        result, explanation, owner = await self._host(await self._target(record.redirect, domain) or "")
        if result is SpfResult.NONE:
            raise _EndError(SpfResult.PERMERROR, "redirect to a domain without a record")
        return result, explanation, owner

    async def _record(self, domain: str) -> SpfRecord | None:
        # RFC 7208 §4.3: what is no fully qualified name has no record
        if "." not in domain or domain[0] == "[" or not askable(domain):
            return None
        try:
            records = select_records(await self.resolver.txt(domain))
        except NoSuchNameError:
            return None
        except TemporaryDnsError:
            raise _EndError(SpfResult.TEMPERROR, "record not to be had") from None  # RFC 7208 §4.4
        if not records:
            return None
        if len(records) > 1:  # RFC 7208 §4.5
            raise _EndError(SpfResult.PERMERROR, "several records")
        try:
            return parse_record(records[0])
        except SpfSyntaxError as error:
            raise _EndError(SpfResult.PERMERROR, str(error)) from None

    def _count_term(self) -> None:
        self.terms += 1
        if self.terms > MAX_TERMS:  # RFC 7208 §4.6.4
            raise _EndError(SpfResult.PERMERROR, "too many look-ups")

    async def _look_up(self, ask: Coroutine[Any, Any, tuple[_Answer, ...]]) -> tuple[_Answer, ...]:
        """Await the look-up of a term; a missing name is an empty answer, and empty ones are counted (RFC 7208 §4.6.4, §5)."""
        try:
            answer = await ask
        except NoSuchNameError:
            answer = ()
        except TemporaryDnsError:
            raise _EndError(SpfResult.TEMPERROR, "look-up failed") from None
        if not answer:
            self._count_void()
        return answer

    def _count_void(self) -> None:
        self.voids += 1
        if self.voids > MAX_VOIDS:
            raise _EndError(SpfResult.PERMERROR, "too many empty look-ups")

    async def _target(self, spec: MacroString, domain: str) -> str | None:
        """Expand a domain-spec into the name that it asks for; None where there can be none."""
        if spec.uses("sl") and not self.local.isascii():
            return None  # RFC 8616 §4: such a term matches nothing
        name = target_name(await self._expanded(spec, domain))
        return name.lower() if askable(name) else None

    async def _expanded(self, spec: MacroString, domain: str) -> str:
        values = self.values | {"d": domain}
        if spec.uses("p"):
            values["p"] = await self._validated_name(domain)
        return expand(spec.pieces, values.__getitem__)

    async def _validated(self) -> tuple[str, ...]:
        """Return the client's validated names, looked up once in the whole check; none when the DNS fails (RFC 7208 §5.5)."""
        if self.names is None:
            try:
                self.names = (await names_of_client(self.resolver, self.client, MAX_NAMES)).validated
            except (NoSuchNameError, TemporaryDnsError):
                self.names = ()
        return self.names

    async def _validated_name(self, domain: str) -> str:
        """Return the macro `p`: the domain itself, else a name below it, else any (RFC 7208 §7.3)."""
        names = await self._validated()
        if domain in names:
            return domain
        below = tuple([name for name in names if name.endswith("." + domain)])
        return (below or names or ("unknown",))[0]

    async def _matches(self, directive: Directive, domain: str) -> bool:
        """Whether a directive matches; `domain` is the current one (RFC 7208 §4.6.2)."""
        if directive.mechanism == "all":  # RFC 7208 §5.1
            return True
        if directive.network is not None:  # RFC 7208 §5.6
            return self.client in directive.network
        self._count_term()
        name: str | None = domain
        if directive.domain is not None:
            name = await self._target(directive.domain, domain)
        if directive.mechanism == "include":
            return await self._include(name)
        if name is None:
            return False
        if directive.mechanism == "ptr":
            return await self._ptr(name)
        return await self._addresses(directive, name)

    async def _include(self, name: str | None) -> bool:
        """Evaluate another record; only its pass is a match, and a missing one is an error (RFC 7208 §5.2)."""
        result, _, _ = await self._host(name or "")
        if result is SpfResult.NONE:
            raise _EndError(SpfResult.PERMERROR, "include of a domain without a record")
        return result is SpfResult.PASS

    async def _addresses(self, directive: Directive, name: str) -> bool:
        """Compare the addresses of a name, or of its mail exchangers (RFC 7208 §5.3, §5.4); of `exists`, any will do."""
        if directive.mechanism == "exists":  # RFC 7208 §5.7: the A record, whatever the client's family
            return bool(await self._look_up(self.resolver.a(name)))
        names = [name]
        if directive.mechanism == "mx":
            exchangers = await self._look_up(self.resolver.mx(name))
            if len(exchangers) > MAX_NAMES:  # RFC 7208 §4.6.4
                raise _EndError(SpfResult.PERMERROR, "too many mail exchangers")
            names = [one.exchange for one in exchangers if askable(one.exchange)]
        for host in names:
            found = await self._look_up(addresses_of(self.resolver, host, self.client))
            if any(directive.covers(address, self.client) for address in found):
                return True
        return False

    async def _ptr(self, name: str) -> bool:
        """Compare the client's validated names (RFC 7208 §5.5)."""
        first = self.names is None
        names = await self._validated()
        if first and not names:
            self._count_void()
        return any(one == name or one.endswith("." + name) for one in names)

    async def _explanation(self, spec: MacroString, domain: str) -> str | None:
        """Return the domain owner's words for a fail, None when there is anything wrong with them (RFC 7208 §6.2)."""
        name = await self._target(spec, domain)
        if name is None:
            return None
        try:
            records = await self.resolver.txt(name)
            if len(records) != 1 or len(records[0]) > MAX_RECORD:
                return None
            words = parse_macro_string(records[0].decode("ascii"), explanation=True)
        except (NoSuchNameError, TemporaryDnsError, UnicodeDecodeError, MacroError):
            return None
        text = await self._expanded(words, domain)
        return text if text.isascii() and text.isprintable() and len(text) <= MAX_EXPLANATION else None
