"""Carries letters by SMTP: to whom, by which security, over connections that are kept for the next letter."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final

from prometheus_client import Counter

from petitbleu_delivery.adapters.exchangers import Exchanger, Exchangers, NoExchangerError
from petitbleu_delivery.adapters.sts_policies import StsPolicies
from petitbleu_delivery.adapters.tls_watch import NOBODY, TlsWatch, Witness, sts_policy, tlsa_policy
from petitbleu_delivery.domain import dane
from petitbleu_delivery.domain.outbound import Answer, Letter, Reply, Verdict
from petitbleu_delivery.domain.sources import Source
from petitbleu_delivery.domain.tls_report import ResultType, TlsFailure
from petitbleu_delivery.ports import SourceChooser
from petitbleu_delivery.smtp_client.resumption import ResumingContext
from petitbleu_delivery.smtp_client.session import Patience, Session, SessionError, TlsRefusedError
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.resolver import TemporaryDnsError
from petitbleu_mail.mta_sts import StsMode, StsPolicy

_log = get_logger(__name__)
_sessions = Counter("petitbleu_delivery_smtp_sessions_total", "Sessions with other servers", ["security"])
_tls_failures = Counter("petitbleu_delivery_smtp_tls_failures_total", "Sessions refused for their TLS", ["policy"])
_IDLE_SECONDS: Final = 5.0
_LETTERS_A_SESSION: Final = 200
_IDLE_A_DESTINATION: Final = 20
# Servers have few places: with many destinations a session is kept for the mail that waits, not for what may come.
_IDLE_ALL: Final = 50
_ADDRESSES_TRIED: Final = 3


@dataclass(frozen=True, slots=True)
class _Security:
    """What TLS with one exchanger must be, and from which pool of our addresses it is gone to (empty: any).

    `kind` is opportunistic, testing (MTA-STS, tried and told of), webpki (MTA-STS), dane, or encrypted (TLSA records that say nothing).
    """

    kind: str
    records: tuple[dane.Tlsa, ...] = ()
    names: tuple[str, ...] = ()
    pool: str = ""

    @property
    def required(self) -> bool:
        return self.kind not in {"opportunistic", "testing"}


class UnfitError(Exception):
    """No exchanger of the domain that can be reached takes such a letter; `lasting` unless one that cannot be reached now might."""

    def __init__(self, reply: Reply, *, lasting: bool) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.lasting = lasting


def _unfit(lack: Reply, failure: SessionError | NoExchangerError | None) -> UnfitError:
    """Say what becomes of a letter that the exchangers lack something for, where another one failed (or none)."""
    if failure is None or (isinstance(failure, NoExchangerError) and failure.lasting):
        return UnfitError(lack, lasting=True)
    return UnfitError(failure.reply, lasting=False)


class SmtpTransport:
    """Implements `Transport`.

    Args:
        exchangers: The DNS.
        policies: MTA-STS; None asks for none.
        name: Our name, said in EHLO.
        port: The port of mail.
        authority: File of a further authority that is believed.
        patience: Times.
        relay: A smart host (host, port) that takes everything; it is the operator's own.
        watch: Counts what TLS was like.
        sources: From which of our addresses letters leave; None leaves it to the machine.
    """

    def __init__(
        self, exchangers: Exchangers, policies: StsPolicies | None, name: str, port: int = 25, *,
        authority: str | None = None, patience: Patience | None = None, relay: tuple[str, int] | None = None,
        watch: TlsWatch | None = None, sources: SourceChooser | None = None,
    ) -> None:  # fmt: skip
        self._exchangers = exchangers
        self._policies = policies
        self._name = name
        self._port = port
        self._patience = patience or Patience()
        self._relay = relay
        self._watch = watch
        self._sources = sources
        self._any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._any.check_hostname = False
        self._any.verify_mode = ssl.CERT_NONE
        self._resuming = ResumingContext()
        self._verified = ssl.create_default_context()
        self._verified.hostname_checks_common_name = False  # RFC 8461 §4.1: names of the subjectAltName alone
        if authority is not None:
            self._verified.load_verify_locations(authority)
        # kept sessions by destination, and all of them from the one used longest ago, with the time at which it is given up
        self._idle: defaultdict[str, deque[Session]] = defaultdict(deque)
        self._resting: dict[int, tuple[float, str, Session]] = {}
        self._sweeping: asyncio.Task[None] | None = None

    async def deliver(self, destination: str, letter: Letter) -> list[Answer]:
        """Send a letter; see `Transport`."""
        if self._sweeping is None:
            self._sweeping = asyncio.ensure_future(self._sweep())
        # RFC 8689 §4.2.1: a letter that requires TLS goes by verified sessions only, so it shares none
        # and one that does without by any, so nothing that is to be kept safe shares its own
        optional = letter.tls_optional and not letter.require_tls  # RFC 8689 §4.1
        key = f"{destination} tls" if letter.require_tls else f"{destination} any" if optional else destination
        pool = "" if self._sources is None else self._sources.pool_of(letter)
        key = f"{key} {pool}" if pool else key
        kept = self._kept(key)
        if kept is not None and kept.lacks(letter) is not None and self._single(destination) is None:
            # it is for other letters; this one looks for an exchanger that takes it
            await self._keep(key, kept)
            kept = None
        if kept is not None and not await self._goes_on(kept):
            await kept.quit()
            kept = None
        if kept is not None:
            answers = self._heard(kept, await kept.send(letter))
            if kept.begun or not _broken(answers):
                await self._keep(key, kept)
                return answers
            # it was ended while nobody looked; nothing of the letter was answered
        try:
            session = await self._open(destination, letter, optional=optional, pool=pool)
        except UnfitError as error:
            verdict = Verdict.REFUSED if error.lasting else Verdict.DEFERRED
            return [Answer(one.number, verdict, error.reply) for one in letter.recipients]
        except NoExchangerError as error:
            verdict = Verdict.REFUSED if error.lasting else Verdict.DEFERRED
            return [Answer(one.number, verdict, error.reply, reached=error.lasting) for one in letter.recipients]
        except SessionError as error:
            return [Answer(one.number, Verdict.DEFERRED, error.reply, reached=False) for one in letter.recipients]
        answers = self._heard(session, await session.send(letter))
        await self._keep(key, session)
        return answers

    async def _goes_on(self, session: Session) -> bool:
        """Whether our address may send another letter over a connection."""
        if session.source is None or self._sources is None:
            return True
        return await self._sources.again(session.source, session.host)

    def _heard(self, session: Session, answers: list[Answer]) -> list[Answer]:
        if session.source is not None and self._sources is not None:
            self._sources.learn(session.source, session.host, [answer.reply for answer in answers])
        return answers

    # -- kept sessions -------------------------------------------------------------------------------------------------

    def _kept(self, destination: str) -> Session | None:
        idle = self._idle.get(destination)
        while idle:
            session = idle.pop()  # the one used last is the likeliest to live
            del self._resting[id(session)]
            if not idle:
                del self._idle[destination]
            if session.usable and not session.reader.at_eof() and not session.writer.is_closing():
                return session
            session.abort()
        return None

    async def _keep(self, destination: str, session: Session) -> None:
        if (
            session.usable
            and not session.passing
            and session.letters < _LETTERS_A_SESSION
            and len(self._idle.get(destination, ())) < _IDLE_A_DESTINATION
        ):
            self._idle[destination].append(session)
            self._resting[id(session)] = time.monotonic() + _IDLE_SECONDS, destination, session
            if len(self._resting) > _IDLE_ALL:
                await self._end_oldest()
        else:
            await session.quit()

    async def _end_oldest(self) -> None:
        oldest = next(iter(self._resting))
        _, destination, session = self._resting.pop(oldest)
        idle = self._idle[destination]
        idle.remove(session)
        if not idle:
            del self._idle[destination]
        await session.quit()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_SECONDS / 4)
            now = time.monotonic()
            while self._resting and next(iter(self._resting.values()))[0] < now:
                await self._end_oldest()

    async def close(self) -> None:
        """End the sessions that are kept."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        while self._resting:
            await self._end_oldest()

    # -- new sessions --------------------------------------------------------------------------------------------------

    def _single(self, destination: str) -> tuple[str, int] | None:
        """Return the only server there is for a destination: an operator's route, or the smart host."""
        return _host_and_port(destination) or self._relay

    async def _open(self, destination: str, letter: Letter, *, optional: bool, pool: str) -> Session:
        """Open a session with the first exchanger that takes one, and the letter with all that it needs.

        Raises:
            NoExchangerError: there is none.
            SessionError: none takes one now.
            UnfitError: those that do lack what the letter needs.
        """
        require_tls = letter.require_tls
        single = self._single(destination)
        if single is not None:
            host, port = single
            # RFC 8689 §4.2.1: a verified server, the operator's own too
            return await self._talk(host, port, host, _Security("webpki" if require_tls else "opportunistic"), NOBODY)
        found = await self._exchangers.of(destination)
        policies = None if optional else self._policies
        policy = await policies.of(destination) if policies is not None else None
        trouble = policies.trouble(destination) if policies is not None else None
        # RFC 8460 §3: what goes whatever TLS is like, as reports do, is in no report
        watch = None if optional or destination.startswith("[") else self._watch
        failure: SessionError | NoExchangerError | None = None
        lack: Reply | None = None
        for exchanger in found:
            witness = Witness(watch, destination, exchanger.host)
            if trouble is not None:
                witness.aside(sts_policy(destination, None), trouble)
            try:
                security = _Security("opportunistic")
                if not optional:
                    security = await self._security(destination, exchanger, policy, witness, require_tls=require_tls)
                session = await self._exchanger(exchanger, replace(security, pool=pool), witness)
            except (SessionError, NoExchangerError) as error:
                # an exchanger that cannot be reached now is a reason to come again, whatever the others lack
                lasting = isinstance(failure, NoExchangerError) and failure.lasting
                failure = error if failure is None or lasting or isinstance(error, SessionError) else failure
                continue
            missing = session.lacks(letter)  # RFC 5321 §5.1: each in turn, until one takes it
            if missing is None:
                session.passing = lack is not None
                return session
            lack = lack or missing
            await session.quit()
        if lack is not None:
            raise _unfit(lack, failure)
        raise failure or NoExchangerError(Reply(0, "4.4.4", "there is no exchanger", ""), lasting=False)

    async def _exchanger(self, exchanger: Exchanger, security: _Security, witness: Witness) -> Session:
        addresses, _ = await self._exchangers.addresses(exchanger.host)
        if self._sources is not None:
            families = self._sources.families(security.pool)
            addresses = [one for one in addresses if ip_address(one).version in families]
        failure: SessionError | None = None
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return await self._talk(address, self._port, exchanger.host, security, witness)
            except TlsRefusedError:
                _tls_failures.labels(policy=security.kind).inc()
                raise
            except SessionError as error:
                failure = error
        raise failure or SessionError(Reply(0, "4.4.1", "no address", exchanger.host))

    async def _security(
        self, destination: str, exchanger: Exchanger, policy: StsPolicy | None, witness: Witness, *, require_tls: bool
    ) -> _Security:
        """Say what TLS must be: DANE before MTA-STS (RFC 8461 §2), where it says whose key it is, and whatever can be had without either."""
        found = await self._dane(destination, exchanger, witness)
        if found is not None and found.kind == "dane":
            return found
        if policy is not None and policy.mode is not StsMode.NONE:
            witness.policy = sts_policy(destination, policy)
            if not policy.covers(exchanger.host):
                witness.failed(ResultType.VALIDATION, "mx-not-in-policy")
        if policy is not None and policy.mode is StsMode.ENFORCE:
            if not policy.covers(exchanger.host):
                _tls_failures.labels(policy="sts").inc()
                unnamed = Reply(0, "4.7.5", "the domain's policy does not name this exchanger", exchanger.host)
                raise TlsRefusedError(unnamed, ResultType.VALIDATION)
            return _Security("webpki")
        if not require_tls:
            # RFC 7672 §2.1.1: with records of which none can be used, TLS is a must, its keys are not known
            if found is not None:
                return found
            # RFC 8461 §5: what fails a policy that is tested is told of, and goes all the same
            tested = policy is not None and policy.mode is StsMode.TESTING and policy.covers(exchanger.host)
            return _Security("testing" if tested else "opportunistic")
        # RFC 8689 §4.2.1: the exchanger's name is not to be taken from whoever answers: DNSSEC or a policy of the domain proves it
        named = policy is not None and policy.mode is not StsMode.NONE and policy.covers(exchanger.host)
        if not (exchanger.proven or named):
            unproven = Reply(
                0, "4.7.30", "REQUIRETLS is wanted, and nothing proves whose exchanger this is", exchanger.host
            )
            raise TlsRefusedError(unproven, ResultType.VALIDATION)
        return _Security("webpki")

    async def _dane(self, destination: str, exchanger: Exchanger, witness: Witness) -> _Security | None:
        """Say what the exchanger's TLSA records want (RFC 7672 §2.2), None where there are none that DNSSEC proves."""
        _, proven = await self._exchangers.addresses(exchanger.host)
        if not (exchanger.proven and proven):
            return None
        try:
            records = await self._exchangers.tlsa(exchanger.host)
        except TemporaryDnsError:
            witness.policy = tlsa_policy(exchanger.host, ())
            witness.failed(ResultType.DNSSEC_INVALID)
            raise SessionError(Reply(0, "4.7.5", "its TLSA records cannot be had", exchanger.host)) from None
        if records is None:
            return None
        usable = dane.usable(records)
        if usable:
            witness.policy = tlsa_policy(exchanger.host, usable)
            return _Security("dane", tuple(usable), (exchanger.host, destination))
        witness.aside(tlsa_policy(exchanger.host, records), TlsFailure(ResultType.TLSA_INVALID, exchanger.host))
        return _Security("encrypted")

    async def _talk(
        self, address: str, port: int, host: str, security: _Security, witness: Witness, *, anew: bool = False
    ) -> Session:
        """Connect, and turn on TLS that is as it must be; `anew`: without a ticket, as this server failed with one."""
        source = None
        if security.pool and self._sources is not None:
            source = await self._sources.choose(security.pool, host, ip_address(address).version)
        session = await self._greeted(address, port, host, source)
        resuming = security.kind == "opportunistic" and not anew
        resumed = resuming and self._resuming.knows(host)
        try:
            if "STARTTLS" in session.extensions or security.required:
                try:
                    await self._secure(session, security, resuming=resuming)
                except TlsRefusedError as error:
                    if resumed:
                        # never in clear for want of a ticket that is taken
                        self._resuming.forget(host)
                        session.abort()
                        return await self._talk(address, port, host, security, witness, anew=True)
                    witness.refused(error, session)
                    if security.required:
                        raise
                    session.abort()
                    if security.kind == "testing":
                        plain = _Security("opportunistic", pool=security.pool)
                        return await self._talk(address, port, host, plain, witness)
                    # RFC 7435 §3: no TLS that works is no reason to send nothing, where none is promised
                    session = await self._greeted(address, port, host, source)
            else:
                witness.failed(ResultType.NO_STARTTLS, session=session)
        except SessionError:
            session.abort()
            raise
        if session.secured:
            witness.kept()
        _sessions.labels(security=security.kind if session.secured else "none").inc()
        return session

    async def _secure(self, session: Session, security: _Security, *, resuming: bool) -> None:
        """Turn on TLS, and prove what is to be proven.

        Raises:
            TlsRefusedError: it is not as it must be.
            SessionError: the connection ended.
        """
        context = self._resuming if resuming else self._context(security)
        await session.secure(context, session.host, self._name if session.source is None else session.source.name)
        if security.kind == "dane":
            self._prove(session, security)
        if resuming:
            # what it said to our EHLO came after its ticket
            self._resuming.learn(session.host, session.writer.get_extra_info("ssl_object"))

    async def _greeted(self, address: str, port: int, host: str, source: Source | None) -> Session:
        """Connect and say EHLO, from one of our addresses where it was chosen."""
        session = None
        try:
            session = await Session.connect(address, port, host, self._patience, source)
            await session.hello(self._name if source is None else source.name)
        except SessionError as error:
            if session is not None:
                session.abort()
            if source is not None and self._sources is not None:
                self._sources.learn(source, host, [error.reply])
            raise
        return session

    def _context(self, security: _Security) -> ssl.SSLContext:
        return self._verified if security.kind in {"webpki", "testing"} else self._any

    @staticmethod
    def _prove(session: Session, security: _Security) -> None:
        if not dane.proves(security.records, _chain(session), security.names):
            other = Reply(0, "4.7.5", "its certificate is not the one that its TLSA records name", session.host)
            raise TlsRefusedError(other, ResultType.NOT_TRUSTED, "no-tlsa-record-matches")


def _chain(session: Session) -> list[bytes]:
    """Return the certificates that the server showed, DER, its own first."""
    shown: Any = session.writer.get_extra_info("ssl_object")
    inner = getattr(shown, "_sslobj", None)
    if inner is not None and hasattr(inner, "get_unverified_chain"):
        # the public method is Python 3.13's; before, there is only this one
        return [certificate.public_bytes(2) for certificate in inner.get_unverified_chain() or ()]
    own = shown.getpeercert(binary_form=True)
    return [own] if own else []


def _broken(answers: Sequence[Answer]) -> bool:
    """Whether the connection ended instead of an answer."""
    return all(answer.verdict is Verdict.DEFERRED and answer.reply.code == 0 for answer in answers)


def _host_and_port(destination: str) -> tuple[str, int] | None:
    """Read `[host]:port`, which an operator's route looks like; None for a domain or a bare address literal."""
    host, colon, port = destination.rpartition(":")
    if colon and port.isdecimal() and host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    return None
