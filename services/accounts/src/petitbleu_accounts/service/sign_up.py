"""Accounts that people open: the work asked for, the name, the account; and the way back in by the recovery code.

What a stranger can learn is that an address is taken, where a name is looked up: of an account, of one that is gone, of one that looks like
it, all in one word. Everything that costs us more than that asks for work first.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from prometheus_client import Counter

from petitbleu_accounts.adapters.argon2_pool import PasswordPool
from petitbleu_accounts.adapters.postgres_accounts import PostgresAccounts
from petitbleu_accounts.adapters.postgres_changes import PostgresChanges
from petitbleu_accounts.adapters.postgres_sign_up import PostgresSignUp
from petitbleu_accounts.config import Settings
from petitbleu_accounts.domain.addresses import wanted
from petitbleu_accounts.domain.chosen_names import NameFault, judge_local
from petitbleu_accounts.domain.people import Child, NewAccount, State, is_display_name, is_language
from petitbleu_accounts.domain.proof_of_work import NONCE_OCTETS, Proof, ProofFault, challenge, check, difficulty
from petitbleu_accounts.domain.secrets import new_recovery_code, prepare_password, recovery_digest
from petitbleu_accounts.errors import AccountsError, Fault, limited, wrong_credential
from petitbleu_accounts.ports import Windows
from petitbleu_accounts.service.authentication import Authentication
from petitbleu_accounts.service.creation import Creation
from petitbleu_accounts.service.limits import LoginLimits, logged_ip, network_of
from petitbleu_accounts.service.memory import CredentialMemory
from petitbleu_kit.identity import Principal
from petitbleu_kit.logs import security_logger

_opened = Counter("petitbleu_accounts_sign_ups_total", "Accounts that people asked for", ["outcome"])
_recovered = Counter("petitbleu_accounts_recoveries_total", "Ways back in by the recovery code", ["outcome"])
_ADULT: Final = 18
_LEVELS: Final = range(5)


class SignUpFault(IntEnum):
    """Why an account is not opened; the numbers are those of the contract."""

    NONE = 0
    BAD_NAME = 1
    RESERVED = 2
    TAKEN = 3
    CLOSED = 4
    BAD_PASSWORD = 5
    BAD_PERSON = 6
    CHALLENGE = 7
    ANSWER = 8
    BAD_CHILD = 9


_NAME_FAULTS: Final = {NameFault.BAD: SignUpFault.BAD_NAME, NameFault.RESERVED: SignUpFault.RESERVED}
_PROOF_FAULTS: Final = {ProofFault.STALE: SignUpFault.CHALLENGE, ProofFault.WRONG: SignUpFault.ANSWER}
_CREATION_FAULTS: Final = {
    "already-exists": SignUpFault.TAKEN, "unknown-domain": SignUpFault.CLOSED, "bad-address": SignUpFault.BAD_NAME,
    "bad-password": SignUpFault.BAD_PASSWORD, "bad-account": SignUpFault.BAD_PERSON,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says who opens an account; `name` is what stands before the @."""

    name: str
    domain: str
    display_name: str
    password: str = field(repr=False)
    language: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An account that was opened, with the code that is shown once; or why not."""

    fault: SignUpFault = SignUpFault.NONE
    address: str = ""
    code: str = field(default="", repr=False)
    principal: str = field(default="", repr=False)
    pending: bool = False


class SignUp:
    """Opens accounts.

    Args:
        settings: Limits and prices.
        table: What is asked of the directory.
        creation: Makes accounts.
        hourly: Counters of an hour.
        key: 32 octets by which challenges are known to be ours.
    """

    def __init__(
        self, settings: Settings, table: PostgresSignUp, creation: Creation, hourly: Windows, key: bytes,
        authentication: Authentication, accounts: PostgresAccounts, limits: LoginLimits,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._table = table
        self._creation = creation
        self._hourly = hourly
        self._key = key
        self._authentication = authentication
        self._accounts = accounts
        self._limits = limits
        self._seen = False

    async def domains(self) -> list[str]:
        """Domains where people may open accounts, by name."""
        return await self._table.open_domains()

    async def see(self) -> None:
        """Work out what addresses look like that were made without saying so; until all are known nobody chooses one."""
        while not await self._table.see():
            pass
        self._seen = True

    async def judge(self, name: str, domain: str, client_ip: str) -> SignUpFault:
        """Say whether an address may be had. Raises `AccountsError` LIMITED."""
        await self._limits.look_up(client_ip)
        found = await self._table.domain(domain.strip().lower())
        if found is None or not found.sign_up:
            return SignUpFault.CLOSED
        return await self._judge(name.strip().lower(), found.name)

    async def _judge(self, name: str, domain: str) -> SignUpFault:
        fault = judge_local(name)
        if fault is not NameFault.NONE:
            return _NAME_FAULTS[fault]
        if not self._seen:
            raise AccountsError(Fault.UNAVAILABLE, "names are being looked at, try again")
        return SignUpFault.TAKEN if await self._table.taken(f"{name}@{domain}") else SignUpFault.NONE

    async def challenge(self, client_ip: str) -> tuple[str, int, int]:
        """Return work to do: the challenge, its zero bits, and Unix seconds at which it is over.

        Its price doubles each time that the number asked for in an hour doubles, from one network (IPv6: /64) and from all.
        """
        settings = self._settings
        everywhere, here = await self._hourly.take(["petitbleu:challenge:all", _key("challenge", client_ip)])
        bits = max(
            difficulty(settings.sign_up_lowest_bits, settings.sign_up_highest_bits, here, settings.sign_up_free_network),
            difficulty(settings.sign_up_lowest_bits, settings.sign_up_highest_bits, everywhere, settings.sign_up_free),
        )  # fmt: skip
        ends = int(time.time()) + settings.sign_up_challenge_seconds
        return challenge(self._key, secrets.token_bytes(NONCE_OCTETS), bits, ends), bits, ends

    async def open(self, asked: Asked, text: str, answer: str, client_ip: str) -> Opened:
        """Open an account for whoever solved a challenge.

        Raises:
            AccountsError: LIMITED after too many from one network; UNAVAILABLE when store does not answer.
        """
        opened = await self._open(asked, text, answer, client_ip)
        _opened.labels(outcome=opened.fault.name.lower()).inc()
        return opened

    async def _open(self, asked: Asked, text: str, answer: str, client_ip: str) -> Opened:  # noqa: PLR0911 — one reason a line
        proof = check(self._key, text, answer, int(time.time()))
        if not isinstance(proof, Proof):
            return Opened(_PROOF_FAULTS[proof])
        name = asked.name.strip().lower()
        found = await self._table.domain(asked.domain.strip().lower())
        if found is None or not found.sign_up:
            return Opened(SignUpFault.CLOSED)
        prepared = prepare_password(asked.password)
        if prepared is None or len(prepared) < self._settings.password_min_length:
            return Opened(SignUpFault.BAD_PASSWORD)
        shown = asked.display_name.strip()
        if not shown or not is_display_name(shown) or not is_language(asked.language):
            return Opened(SignUpFault.BAD_PERSON)
        fault = await self._judge(name, found.name)
        if fault is not SignUpFault.NONE:
            return Opened(fault)
        (count,) = await self._hourly.take([_key("sign-up", client_ip)])
        if count > self._settings.sign_up_network_hour:
            raise limited()
        if not await self._table.spend(*proof):
            return Opened(SignUpFault.CHALLENGE)
        code, digest = new_recovery_code()
        (made,) = await self._creation.create(
            [
                NewAccount(
                    f"{name}@{found.name}", shown, asked.password, self._settings.sign_up_quota_octets,
                    language=asked.language, chosen=True, recovery_digest=digest,
                )
            ]
        )  # fmt: skip
        if made.account is None:
            return Opened(_CREATION_FAULTS.get(made.error, SignUpFault.BAD_PERSON))
        security_logger().info(
            "account opened", account_id=made.account.account_id, **logged_ip(self._settings, client_ip)
        )
        principal = await self._authentication.signed_in(made.account.account_id, made.password_hash)
        return Opened(address=made.account.address, code=code, principal=principal)

    async def open_child(self, who: Principal, asked: Asked, child: Child) -> Opened:
        """Open the account of an adult's child; the child sets its password itself, with the code.

        Raises:
            AccountsError: FORBIDDEN for a child; LIMITED; UNAVAILABLE when store does not answer.
        """
        if who.guarded:
            raise AccountsError(Fault.FORBIDDEN, "a child is nobody's guardian")
        found = await self._table.domain(asked.domain.strip().lower())
        if found is None or not found.sign_up or found.tenant_id != who.tenant_id:
            return Opened(SignUpFault.CLOSED)
        shown = asked.display_name.strip()
        if not shown or not is_display_name(shown) or not is_language(asked.language):
            return Opened(SignUpFault.BAD_PERSON)
        age = age_at(child, dt.datetime.now(dt.UTC).date())
        if age is None or age >= _ADULT or child.level not in _LEVELS:
            return Opened(SignUpFault.BAD_CHILD)
        name = asked.name.strip().lower()
        fault = await self._judge(name, found.name)
        if fault is not SignUpFault.NONE:
            return Opened(fault)
        (count,) = await self._hourly.take([f"petitbleu:open-child:{who.account_id}"])
        if count > self._settings.open_child_hour:
            raise limited()
        guardian = await self._accounts.get([who.account_id])
        if not guardian or guardian[0].state is not State.ACTIVE:
            raise wrong_credential()
        code, digest = new_recovery_code()
        level = child.level or suggested_level(age)
        (made,) = await self._creation.create(
            [
                NewAccount(
                    f"{name}@{found.name}", shown, "", self._settings.sign_up_quota_octets, guarded=True,
                    language=asked.language, guardians=(guardian[0].address,), chosen=True, recovery_digest=digest,
                    child=Child(child.birth_year, child.birth_month, level),
                )
            ]
        )  # fmt: skip
        if made.account is None and made.error != "pending":
            return Opened(_CREATION_FAULTS.get(made.error, SignUpFault.BAD_PERSON))
        security_logger().info("child's account opened", account_id=who.account_id)
        return Opened(address=f"{name}@{found.name}", code=code, pending=made.account is None)


class Recovering:
    """Lets people back in by their recovery code."""

    def __init__(
        self, settings: Settings, table: PostgresSignUp, changes: PostgresChanges, passwords: PasswordPool,
        limits: LoginLimits, memory: CredentialMemory, authentication: Authentication,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._table = table
        self._changes = changes
        self._passwords = passwords
        self._limits = limits
        self._memory = memory
        self._authentication = authentication

    async def recover(self, address: str, code: str, password: str, client_ip: str) -> Opened:
        """Set a new password by the recovery code: every session and app password ends, and the code is another from now on.

        Raises:
            AccountsError: WRONG_CREDENTIAL for an address of nobody and a wrong code alike, after the same work; LIMITED after too many.
        """
        prepared = prepare_password(password)
        if prepared is None or len(prepared) < self._settings.password_min_length:
            return Opened(SignUpFault.BAD_PASSWORD)
        want = wanted(address)
        known = want.address if want is not None and want.domain else ""
        taken = await self._limits.take(known or address[:320], client_ip)
        key = await self._changes.account(known)
        digest = recovery_digest(code) or b""
        kept = await self._table.recovery_digest(key.partition if key else 0, key.account_id if key else 0)
        right = kept is not None and hmac.compare_digest(digest, kept)
        # the dear part, whether it is right or not
        password_hash = await self._passwords.hash(prepared)
        next_code, next_digest = new_recovery_code()
        if (
            key is None
            or not right
            or key.state != State.ACTIVE
            or not await self._changes.recover(key, password_hash, digest, next_digest)
        ):
            _recovered.labels(outcome="wrong").inc()
            security_logger().warning("recovery failed", **logged_ip(self._settings, client_ip))
            raise wrong_credential()
        await self._limits.give_back(taken)
        self._memory.forget([key.account_id])
        _recovered.labels(outcome="right").inc()
        security_logger().info("recovered", account_id=key.account_id, **logged_ip(self._settings, client_ip))
        principal = await self._authentication.signed_in(key.account_id, password_hash)
        return Opened(address=known, code=next_code, principal=principal)


def _key(what: str, client_ip: str) -> str:
    """The counter of a client's network; it names nobody."""
    return f"petitbleu:{what}:i:{hashlib.sha256(network_of(client_ip).encode()).hexdigest()[:32]}"


def age_at(child: Child, today: dt.date) -> int | None:
    """Return how old somebody is, the month of birth counted as over; None for a date that is none or yet to come."""
    if child.birth_month not in range(1, 13) or not 1900 <= child.birth_year <= today.year:
        return None
    months = (today.year - child.birth_year) * 12 + today.month - child.birth_month
    return months // 12 if months >= 0 else None


def suggested_level(age: int) -> int:
    """Return the level that an age suggests: 2 up to 10 years, 3 up to 13, 4 from then on; guardians move it."""
    return 2 if age <= 10 else 3 if age <= 13 else 4
