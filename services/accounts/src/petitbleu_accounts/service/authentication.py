"""Who is it: passwords, app passwords and bearer sessions, and the principals signed for them.

Every refusal is the same answer after the same work: an unknown login costs a hash as a wrong password does.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client import Counter

from petitbleu_accounts.adapters.argon2_pool import PasswordPool
from petitbleu_accounts.adapters.postgres_accounts import PostgresAccounts
from petitbleu_accounts.adapters.postgres_changes import PostgresChanges
from petitbleu_accounts.adapters.postgres_credentials import CredentialRow, LoginRow, PostgresCredentials
from petitbleu_accounts.config import Settings
from petitbleu_accounts.domain.addresses import wanted
from petitbleu_accounts.domain.people import AccountInfo, State
from petitbleu_accounts.domain.secrets import app_password_digest, new_token, open_token, prepare_password
from petitbleu_accounts.domain.standing import Standing, decode, mark_of
from petitbleu_accounts.errors import AccountsError, Fault, wrong_credential
from petitbleu_accounts.service.limits import LoginLimits, logged_ip
from petitbleu_accounts.service.memory import ALWAYS, CredentialMemory, Known
from petitbleu_accounts.service.scram import Scram
from petitbleu_kit.identity import Principal, Signer, principal_claims
from petitbleu_kit.ids import new_row_id, partition_of_account
from petitbleu_kit.logs import security_logger

_checked = Counter("petitbleu_accounts_logins_total", "Credentials checked", ["kind", "outcome"])
# Read with the account so that an unknown login asks the same of the database as a known one.
_NOBODY: Final = LoginRow(0, 0, State.CLOSING, main=False)
_NO_DIGEST: Final = b""
_DEVICE_OCTETS: Final = 16
# A session's last use is written down once in so many seconds.
_TOUCH_SECONDS: Final = 600.0
# A principal is signed again when less than this share of its life is left.
_FRESH_SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Somebody, with the signed principal to show to other services."""

    principal: str
    account: AccountInfo
    session_id: int
    expires_at: int
    standing: bytes
    server_signature: bytes = b""
    renewal: bytes = b""


class Authentication:
    """Checks credentials and keeps sessions."""

    def __init__(
        self, settings: Settings, credentials: PostgresCredentials, accounts: PostgresAccounts, changes: PostgresChanges,
        passwords: PasswordPool, limits: LoginLimits, memory: CredentialMemory, signer: Signer, scram: Scram,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._credentials = credentials
        self._accounts = accounts
        self._changes = changes
        self._passwords = passwords
        self._limits = limits
        self._memory = memory
        self._signer = signer
        self._scram = scram
        self._principals: dict[tuple[int, int, int], tuple[Known, str, int]] = {}

    async def by_password(self, login: str, password: str, protocol: str, client_ip: str) -> Authenticated:
        """Check an address and its main password or an app password.

        Raises:
            AccountsError: WRONG_CREDENTIAL, or LIMITED after too many tries or when too many checks wait.
        """
        fingerprint = self._memory.fingerprint("password", login, password, protocol)
        known = self._memory.find(fingerprint)
        if known is None:
            generation = self._memory.generation
            want = wanted(login)
            address = want.address if want is not None and want.domain else ""
            taken = await self._limits.take(address or login[:320], client_ip)
            try:
                known = await self._check_password(address, password, protocol)
            except AccountsError as error:
                if error.fault is Fault.WRONG_CREDENTIAL:
                    self._note_failure("password", client_ip, protocol)
                else:
                    await self._limits.give_back(taken)
                raise
            await self._limits.give_back(taken)
            self._memory.remember(fingerprint, known, self._settings.remember_success_seconds, generation)
        _checked.labels(kind="password", outcome="right").inc()
        return self._signed(known)

    async def _check_password(self, address: str, password: str, protocol: str) -> Known:
        login = (await self._credentials.login(address)) or _NOBODY
        digest = app_password_digest(login.account_id, password) or _NO_DIGEST
        row = await self._credentials.credential(login.partition, login.account_id, digest)
        used = 0
        mark = bytes(16)
        if row.app_password_id is not None and (not row.protocols or protocol in row.protocols):
            right = True
            used = row.app_password_id
        else:
            mark = await self._check_main(login, row, password)
            right = bool(mark)
        # The state is looked at last: a disabled account costs the same time as a wrong password.
        if not right or login.state != State.ACTIVE:
            raise wrong_credential()
        if row.app_password_id is not None and row.stale:
            await self._credentials.touch_app_password(login.partition, login.account_id, row.app_password_id)
        # a password that is shown from nowhere in particular may always be a thief's
        cooling = row.since + self._settings.cooling_seconds if used else ALWAYS
        return Known(await self._account(login.account_id), 0, used, cooling, mark)

    async def _check_main(self, login: LoginRow, row: CredentialRow, password: str) -> bytes:
        """Return the mark of the hash that is kept for a password that is right, nothing for a wrong one."""
        prepared = prepare_password(password)
        right = await self._passwords.verify(row.password_hash, prepared or "-")
        if not right or prepared is None or row.password_hash is None:
            return b""
        kept = row.password_hash
        if self._passwords.outdated(kept):
            kept = await self._passwords.hash(prepared)
            await self._credentials.replace_hash(login.partition, login.account_id, row.password_hash, kept)
        return mark_of(kept)

    async def signed_in(self, account_id: int, password_hash: str) -> str:
        """Return a principal for somebody who has just set a password, of which this is the hash kept."""
        account = await self._account(account_id)
        return self._signed(Known(account, cooling_until=ALWAYS, mark=mark_of(password_hash))).principal

    async def standing(self, octets: bytes) -> AccountInfo:
        """Return the account of a login that still stands, as it is now. Raises `AccountsError` WRONG_CREDENTIAL."""
        standing = decode(octets)
        if standing is None:
            raise wrong_credential()
        partition = partition_of_account(standing.account_id)
        password_hash, app_password, session = await self._credentials.standing(
            partition, standing.account_id, standing.app_password_id, standing.session_id
        )
        if standing.session_id:
            stands = session
        elif standing.app_password_id:
            stands = app_password
        else:
            stands = standing.is_by(password_hash)
        account = await self._account(standing.account_id)
        if not stands or account.state is not State.ACTIVE:
            raise wrong_credential()
        return account

    async def renewed(self, standing: bytes, renewal: bytes) -> Authenticated:
        """Return a new principal for a login by proof that still stands. Raises `AccountsError` WRONG_CREDENTIAL."""
        by = decode(standing)
        if by is None or not self._scram.renews(standing, renewal):
            raise wrong_credential()
        account = await self.standing(standing)
        return self._signed(Known(account, credential_id=by.app_password_id, cooling_until=ALWAYS))

    async def by_proof(self, login: str, message: bytes, proof: bytes, protocol: str, client_ip: str) -> Authenticated:
        """Check the proof of an app password (RFC 5802).

        Raises:
            AccountsError: WRONG_CREDENTIAL, or LIMITED after too many tries, those with passwords counted with them.
        """
        want = wanted(login)
        taken = await self._limits.take(want.address if want is not None and want.domain else login[:320], client_ip)
        try:
            proved = await self._scram.check(login, message, proof, protocol)
            known = Known(
                await self._account(proved.account_id), credential_id=proved.app_password_id, cooling_until=ALWAYS
            )
        except AccountsError as error:
            if error.fault is Fault.WRONG_CREDENTIAL:
                self._note_failure("scram", client_ip, protocol)
            else:
                await self._limits.give_back(taken)
            raise
        await self._limits.give_back(taken)
        _checked.labels(kind="scram", outcome="right").inc()
        found = self._signed(known)
        return replace(
            found, server_signature=proved.server_signature, renewal=self._scram.renewal(found.standing)
        )  # fmt: skip

    async def by_token(self, token: str, client_ip: str) -> Authenticated:
        """Check a bearer token of a session.

        Raises:
            AccountsError: WRONG_CREDENTIAL; LIMITED after too many wrong ones from one address.
        """
        fingerprint = self._memory.fingerprint("bearer", token)
        known = self._memory.find(fingerprint)
        if known is None:
            generation = self._memory.generation
            taken = await self._limits.take("", client_ip)
            known = await self._check_token(token)
            if known is None:
                self._note_failure("bearer", client_ip, "")
                raise wrong_credential()
            await self._limits.give_back(taken)
            self._memory.remember(fingerprint, known, self._settings.remember_session_seconds, generation)
        _checked.labels(kind="bearer", outcome="right").inc()
        return self._signed(known)

    async def _check_token(self, token: str) -> Known | None:
        opened = open_token(token)
        if opened is None:
            return None
        # The look-up is by SHA-256 of 256 random bits: what its time tells is nothing that helps to guess.
        session = await self._credentials.session(*opened, _TOUCH_SECONDS)
        if session is None or session.over:
            return None
        account = await self._account(session.account_id)
        if account.state is not State.ACTIVE:
            return None
        if session.stale:
            await self._credentials.touch_session(*opened, self._settings.session_idle_seconds)
        return Known(account, session.session_id, session.session_id, session.cooling)

    async def _account(self, account_id: int) -> AccountInfo:
        found = await self._accounts.get([account_id])
        if not found:
            raise wrong_credential()
        return found[0]

    def _signed(self, known: Known) -> Authenticated:
        """Return the principal of somebody, signed now or not long ago."""
        now = int(time.time())
        slot = (known.account.account_id, known.session_id, known.credential_id)
        kept = self._principals.get(slot)
        seconds = self._settings.principal_seconds
        if kept is None or kept[0] is not known or kept[2] - now < seconds * _FRESH_SHARE:
            account = known.account
            cooling = now + self._settings.cooling_seconds if known.cooling_until == ALWAYS else known.cooling_until
            principal = Principal(
                account.account_id, account.tenant_id, tuple(role.claim for role in account.roles), known.session_id,
                account.guarded, known.credential_id, cooling if cooling > now else 0,
            )  # fmt: skip
            kept = (known, self._signer.sign("petitbleu", principal_claims(principal), seconds), now + seconds)
            if len(self._principals) >= self._settings.remembered:
                self._principals.clear()
            self._principals[slot] = kept
        app_password_id = 0 if known.session_id else known.credential_id
        standing = Standing(known.account.account_id, known.session_id, app_password_id, known.mark).encode()
        return Authenticated(kept[1], known.account, known.session_id, kept[2], standing)

    async def open_session(
        self, who: Principal, label: str, client_ip: str, device: bytes = b""
    ) -> tuple[str, int, int]:
        """Make a session for a principal, on a device that keeps 16 octets to be known by; return its token, id and end (Unix seconds)."""
        if who.session_id:
            raise AccountsError(Fault.REFUSED, "a session cannot open another")
        account = await self._account(who.account_id)
        if account.state is not State.ACTIVE:
            raise wrong_credential()
        partition = partition_of_account(who.account_id)
        token = new_token(partition)
        opened = open_token(token)
        if opened is None:
            raise AssertionError("a token of ours always opens")
        session_id = new_row_id()
        shown = "".join(character for character in label[:200] if character.isprintable())
        digest = hashlib.sha256(b"device" + device).digest() if len(device) == _DEVICE_OCTETS else None
        cooling = await self._credentials.device(
            partition, who.account_id, digest, opened[1], self._settings.cooling_seconds
        )
        ends = await self._credentials.new_session(
            partition, who.account_id, session_id, opened[1], shown, self._settings.session_idle_seconds,
            self._settings.session_seconds, cooling,
        )  # fmt: skip
        security_logger().info(
            "session opened", account_id=who.account_id, session_id=session_id, **logged_ip(self._settings, client_ip)
        )
        return token, session_id, ends

    async def end_session(self, who: Principal, session_id: int) -> None:
        """End a session of the principal's own account. Raises `AccountsError` NOT_FOUND."""
        partition = partition_of_account(who.account_id)
        if not await self._changes.end_session(who.tenant_id, who.account_id, partition, session_id):
            raise AccountsError(Fault.NOT_FOUND, "no such session")
        self._memory.forget([who.account_id])

    def _note_failure(self, kind: str, client_ip: str, protocol: str) -> None:
        """Write a failed login to the security log, without its login."""
        _checked.labels(kind=kind, outcome="wrong").inc()
        security_logger().warning(
            "login failed", kind=kind, protocol=protocol[:16], **logged_ip(self._settings, client_ip)
        )
