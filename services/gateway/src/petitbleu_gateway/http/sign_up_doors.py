"""Accounts that people open themselves, the way back into them by the recovery code, and their children's (docs/rest.md)."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta

from petitbleu.accounts.v1 import people_pb2 as pb
from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.credentials import check_page, identify
from petitbleu_gateway.http.exchange import NO_STORE, Exchange, OctetBudget, encode_json
from petitbleu_gateway.http.session_doors import give_session
from petitbleu_gateway.jmap import ijson
from petitbleu_gateway.ports import Accounts, AwayError, LimitedError, RefusedError, SignUp
from petitbleu_gateway.service.authentication import Authentication

SIGN_UP_PATH: Final = "/api/sign-up"
_MAX_BODY: Final = 8192
_BODY_SECONDS: Final = 15.0
_MOST: Final = 1024
Body = TypeVar("Body")
Text = Annotated[str, Meta(max_length=_MOST)]
Short = Annotated[str, Meta(max_length=320)]
_FAULTS: Final[dict[int, str]] = {
    pb.SIGN_UP_FAULT_BAD_NAME: "bad-name", pb.SIGN_UP_FAULT_RESERVED: "reserved", pb.SIGN_UP_FAULT_TAKEN: "taken",
    pb.SIGN_UP_FAULT_CLOSED: "closed", pb.SIGN_UP_FAULT_BAD_PASSWORD: "bad-password", pb.SIGN_UP_FAULT_BAD_PERSON: "bad-person",
    pb.SIGN_UP_FAULT_CHALLENGE: "challenge", pb.SIGN_UP_FAULT_ANSWER: "answer", pb.SIGN_UP_FAULT_BAD_CHILD: "bad-child",
}  # fmt: skip
_TYPE: Final = "urn:petitbleu:sign-up:"


class NewPerson(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What a person says who opens an account."""

    name: Short
    domain: Short
    display_name: Short
    password: Text
    challenge: Short
    answer: Short
    language: Annotated[str, Meta(max_length=35)] = "fr"
    label: Annotated[str, Meta(max_length=100)] = ""
    cookie: bool = False


class Return(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What a person says who comes back by the recovery code."""

    address: Short
    recovery_code: Short
    password: Text
    label: Annotated[str, Meta(max_length=100)] = ""
    cookie: bool = False


class NewChild(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What a guardian says of a child."""

    name: Short
    domain: Short
    display_name: Short
    birth_year: Annotated[int, Meta(ge=0, le=9999)]
    birth_month: Annotated[int, Meta(ge=0, le=12)]
    language: Annotated[str, Meta(max_length=35)] = "fr"
    level: Annotated[int, Meta(ge=0, le=4)] = 0


class SignUpDoors:
    """Sign-up, for whoever comes.

    Args:
        sign_up: Who opens accounts.
        accounts: Who keeps bearer sessions.
        authentication: Who checks credentials, of guardians.
        budget: Octets in flight.
    """

    def __init__(
        self, sign_up: SignUp, accounts: Accounts, authentication: Authentication, budget: OctetBudget
    ) -> None:
        self._sign_up = sign_up
        self._accounts = accounts
        self._authentication = authentication
        self._budget = budget

    async def how(self, exchange: Exchange) -> None:
        """Say where accounts may be opened."""
        with _answered():
            found = await self._sign_up.how()
        body = {"domains": list(found.domains), "passwordMinLength": found.password_min_length}
        await exchange.answer(200, encode_json(body), headers=(NO_STORE,))

    async def name(self, exchange: Exchange) -> None:
        """Say whether an address may be had."""
        query = parse_qs(exchange.query[:2048].decode("ascii", "replace"), max_num_fields=8)
        name, domain = (query.get(key, [""])[0][:320] for key in ("name", "domain"))
        with _answered():
            found = await self._sign_up.check_name(
                pb.CheckNameRequest(name=name, domain=domain, client_ip=exchange.client_ip)
            )
        body: dict[str, Any] = {"free": not found.fault}
        if found.fault:
            body["why"] = _FAULTS.get(found.fault, "closed")
        await exchange.answer(200, encode_json(body), headers=(NO_STORE,))

    async def challenge(self, exchange: Exchange) -> None:
        """Give work to do."""
        check_page(exchange)
        with _answered():
            given = await self._sign_up.challenge(exchange.client_ip)
        body = {"challenge": given.challenge, "bits": given.bits, "expiresAt": given.expires_at}
        await exchange.answer(200, encode_json(body), headers=(NO_STORE,))

    async def open(self, exchange: Exchange) -> None:
        """Open an account, and a session in it."""
        asked = await self._read(exchange, NewPerson)
        request = pb.SignUpRequest(
            name=asked.name, domain=asked.domain, display_name=asked.display_name, password=asked.password,
            language=asked.language, challenge=asked.challenge, answer=asked.answer, client_ip=exchange.client_ip,
        )  # fmt: skip
        with _answered():
            opened = await self._sign_up.sign_up(request)
        _check(opened.fault)
        told = {"address": opened.address, "recoveryCode": opened.recovery_code}
        await give_session(
            exchange, self._accounts, opened.principal, asked.label, in_cookie=asked.cookie, told=told
        )  # fmt: skip

    async def recover(self, exchange: Exchange) -> None:
        """Set a new password by the recovery code, and open a session."""
        asked = await self._read(exchange, Return)
        request = pb.RecoverRequest(
            address=asked.address, recovery_code=asked.recovery_code, password=asked.password, client_ip=exchange.client_ip
        )  # fmt: skip
        with _answered():
            back = await self._sign_up.recover(request)
        _check(back.fault)
        told = {"recoveryCode": back.recovery_code}
        await give_session(exchange, self._accounts, back.principal, asked.label, in_cookie=asked.cookie, told=told)

    async def open_child(self, exchange: Exchange) -> None:
        """Open the account of a guardian's child."""
        who = await identify(exchange, self._authentication)
        asked = await self._read(exchange, NewChild)
        request = pb.OpenChildRequest(
            name=asked.name, domain=asked.domain, display_name=asked.display_name, language=asked.language,
            birth_year=asked.birth_year, birth_month=asked.birth_month, level=asked.level,
        )  # fmt: skip
        with _answered():
            opened = await self._sign_up.open_child(who.principal, request)
        _check(opened.fault)
        body = {"address": opened.address, "code": opened.code, "pending": opened.pending}
        self._authentication.forget_accounts([who.account_id])  # the adult is a guardian now
        await exchange.answer(201, encode_json(body), headers=(NO_STORE,))

    async def _read(self, exchange: Exchange, kind: type[Body]) -> Body:
        """Read what somebody asks for, from no other site's page, and with no password in the clear.

        Raises:
            Problem: 400, 403.
        """
        check_page(exchange)
        if not exchange.secure and not exchange.loopback:
            raise Problem(403, detail="Passwords are taken over HTTPS only.")
        raw = await exchange.body(_MAX_BODY, _BODY_SECONDS, self._budget)
        try:
            return msgspec.convert(ijson.decode(raw), kind)
        except (ijson.NotIJsonError, msgspec.ValidationError):
            raise Problem(400, detail="The body is not as documented.") from None
        finally:
            self._budget.give_back(len(raw))


class _answered:  # noqa: N801 — used as a statement
    """Translates what accounts says to problems."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, RefusedError):
            raise Problem(403, _TYPE + "refused", "What was shown is not right.") from None
        if isinstance(error, LimitedError):
            raise Problem(429, detail="Too many tries.", headers=((b"retry-after", b"60"),)) from None
        if isinstance(error, AwayError):
            raise Problem(503, detail="The directory does not answer.", headers=((b"retry-after", b"2"),)) from None


def _check(fault: int) -> None:
    if fault:
        word = _FAULTS.get(fault, "refused")
        raise Problem(409 if word == "taken" else 422, _TYPE + word, "The account is not opened.")
