"""One client's dialogue (RFC 5804 §2): what each command does, and its answer. No sockets here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu_gateway.managesieve.grammar import GrammarError, string, text
from petitbleu_gateway.managesieve.login import Login
from petitbleu_gateway.ports import AwayError, Identity, LimitedError, RefusedError, Scripts
from petitbleu_kit.logs import get_logger
from petitbleu_mail.sieve.catalog import DELIVERED_EXTENSIONS
from petitbleu_mail.sieve.faults import LIMITS

_log = get_logger(__name__)
MAX_SCRIPTS: Final = 32
_MAX_FAILURES: Final = 3


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its octets, and what happens to the connection then."""

    octets: bytes
    closes: bool = False
    starts_tls: bool = False


class RefusalError(Exception):
    """A command that is answered NO: a response code (RFC 5804 §1.3, empty for none) and a text."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


def ok(reason: str = "", code: str = "") -> bytes:
    """Return OK."""
    return _response(b"OK", code, reason)


def _response(word: bytes, code: str, reason: str) -> bytes:
    shown = b" (" + code.encode() + b")" if code else b""
    return word + shown + (b" " + string(reason) if reason else b"") + b"\r\n"


class ManageSieve:
    """A dialogue.

    Args:
        login: Who the client is.
        scripts: The person's rules.
        may_start_tls: There is a certificate.
        secure: Credentials may be sent as the connection is: it is encrypted, or the operator allows it.
    """

    def __init__(self, login: Login, scripts: Scripts, *, may_start_tls: bool, secure: bool) -> None:
        self._login = login
        self._scripts = scripts
        self._may_start_tls = may_start_tls
        self._secure = secure
        self._failures = 0
        self._challenged = False
        self._simple: dict[bytes, Callable[[Sequence[bytes | int]], Reply]] = {
            b"LOGOUT": self._log_out, b"CAPABILITY": self._capability, b"STARTTLS": self._start_tls, b"NOOP": self._noop,
        }  # fmt: skip
        self._commands: dict[bytes, Callable[[Sequence[bytes | int]], Awaitable[bytes]]] = {
            b"HAVESPACE": self._have_space, b"PUTSCRIPT": self._put, b"LISTSCRIPTS": self._list,
            b"SETACTIVE": self._set_active, b"GETSCRIPT": self._get, b"DELETESCRIPT": self._delete,
            b"RENAMESCRIPT": self._rename, b"CHECKSCRIPT": self._check,
        }  # fmt: skip

    @property
    def authenticated(self) -> bool:
        """Whether somebody has shown a right credential."""
        return self._login.who is not None

    def greeting(self) -> bytes:
        """Return the capabilities, as after connecting and after STARTTLS (RFC 5804 §1.7)."""
        return self._capabilities() + ok("Petit Bleu")

    def _capabilities(self) -> bytes:
        told: list[tuple[str, str | None]] = [
            ("IMPLEMENTATION", "Petit Bleu"),
            # RFC 5804 §1.7: no mechanism is named that could not be used now
            ("SASL", " ".join(self._login.mechanisms()) if self._secure and not self.authenticated else ""),
            ("SIEVE", " ".join(DELIVERED_EXTENSIONS)),
            ("NOTIFY", "mailto"),
            ("EXTLISTS", "urn"),
            ("MAXREDIRECTS", str(LIMITS.redirects)),
            ("VERSION", "1.0"),
        ]
        if self._may_start_tls and not self.authenticated:
            told.append(("STARTTLS", None))
        if self._login.who is not None:
            told.append(("OWNER", self._login.who.address))
        return b"".join(
            string(name) + (b"" if value is None else b" " + string(value)) + b"\r\n" for name, value in told
        )

    def tls_started(self, end_point: bytes = b"") -> None:
        """From now on the connection is encrypted; nothing of what was before counts (RFC 5804 §2.2).

        Args:
            end_point: What an exchange can be bound to (RFC 5929 §4.1), empty for nothing.
        """
        self._secure, self._may_start_tls = True, False
        self._login.tls_started(end_point)

    async def answer(self, words: Sequence[bytes | int]) -> Reply:
        """Answer a command."""
        try:
            return await self._answer(words)
        except RefusalError as refusal:
            return Reply(_response(b"NO", refusal.code, refusal.reason))
        except GrammarError as error:
            return Reply(_response(b"NO", "", str(error)))
        except (AwayError, grpc.aio.AioRpcError) as error:
            if isinstance(error, grpc.aio.AioRpcError):
                _log.warning("a command failed", code=error.code().name)
            return Reply(_response(b"NO", "TRYLATER", "It cannot be done now."))

    async def _answer(self, words: Sequence[bytes | int]) -> Reply:
        if self._challenged:
            self._challenged = False
            if len(words) != 1 or words[0] == b"*":  # RFC 5804 §2.1: the client cancels
                raise RefusalError("", "Cancelled.")
            return await self._respond(words[0])
        if not words or isinstance(words[0], int):
            raise RefusalError("", "A command is wanted.")
        name, arguments = words[0].upper(), words[1:]
        if name == b"AUTHENTICATE":
            return await self._authenticate(arguments)
        simple = self._simple.get(name)
        if simple is not None:
            return simple(arguments)
        command = self._commands.get(name)
        if command is None:
            raise RefusalError("", "There is no such command.")
        await self._identify()
        return Reply(await command(arguments))

    def _log_out(self, _arguments: Sequence[bytes | int]) -> Reply:
        """RFC 5804 §2.3."""
        return Reply(ok("Good bye."), closes=True)

    def _capability(self, _arguments: Sequence[bytes | int]) -> Reply:
        """RFC 5804 §2.4."""
        return Reply(self._capabilities() + ok())

    def _start_tls(self, _arguments: Sequence[bytes | int]) -> Reply:
        """RFC 5804 §2.2."""
        if not self._may_start_tls or self.authenticated:
            raise RefusalError("", "TLS cannot be started.")
        return Reply(ok("Begin TLS negotiation now."), starts_tls=True)

    def _noop(self, arguments: Sequence[bytes | int]) -> Reply:
        """RFC 5804 §2.13."""
        if not arguments:
            return Reply(ok("Done."))
        (tag,) = self._take(arguments, 1)
        return Reply(b"OK (TAG " + string(text(tag)) + b') "Done."\r\n')

    @staticmethod
    def _take(arguments: Sequence[bytes | int], count: int) -> Sequence[bytes | int]:
        if len(arguments) != count:
            raise RefusalError("", "The command has other arguments.")
        return arguments

    async def _authenticate(self, arguments: Sequence[bytes | int]) -> Reply:
        """RFC 5804 §2.1."""
        if self.authenticated:
            raise RefusalError("", "You are authenticated.")
        if not self._secure:
            raise RefusalError("ENCRYPT-NEEDED", "Start TLS first.")
        mechanism = text(arguments[0]).upper() if arguments else ""
        if mechanism not in self._login.mechanisms():
            raise RefusalError("", "There is no such mechanism.")
        self._login.begin(mechanism)
        if len(arguments) == 1:
            self._challenged = True
            return Reply(b'""\r\n')  # an empty challenge; what the client says next is its response
        return await self._respond(self._take(arguments, 2)[1])

    async def _respond(self, word: bytes | int) -> Reply:
        try:
            told = await self._login.respond(_octets(word))
        except LimitedError:
            raise RefusalError("TRYLATER", "Too many tries.") from None
        except RefusedError:
            self._failures += 1
            refused = _response(b"NO", "", "The credential is wrong.")
            if self._failures < _MAX_FAILURES:
                return Reply(refused)
            return Reply(refused + _response(b"BYE", "", "Too many tries."), closes=True)
        if not self.authenticated:
            self._challenged = True
            return Reply(string(told.decode()) + b"\r\n")
        # RFC 5804 §1.3: what the server says last comes with the OK
        return Reply(ok("Welcome.", f'SASL "{told.decode()}"' if told else ""))

    async def _identify(self) -> None:
        """Have a principal that is valid now: the connection may outlive many, and the password's end ends it."""
        try:
            who = await self._login.again()
        except RefusedError:
            raise RefusalError("", "The credential is not right any more.") from None
        except LimitedError:
            raise RefusalError("TRYLATER", "Too many tries.") from None
        if who is None:
            raise RefusalError("", "Authenticate first.")

    @property
    def _person(self) -> Identity:
        who = self._login.who
        assert who is not None  # noqa: S101 — `_identify` came before
        return who

    async def _known(self) -> dict[str, pb.Script]:
        return {one.name: one for one in (await self._scripts.scripts(self._person)).scripts}

    async def _named(self, word: bytes | int) -> pb.Script:
        found = (await self._known()).get(text(word))
        if found is None:
            raise RefusalError("NONEXISTENT", "There is no such script.")
        return found

    async def _have_space(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.5."""
        name, octets = self._take(arguments, 2)
        if not isinstance(octets, int):
            raise RefusalError("", "A number is wanted.")
        if octets > LIMITS.script_octets:
            raise RefusalError("QUOTA/MAXSIZE", "A script may not be so large.")
        known = await self._known()
        if text(name) not in known and len(known) >= MAX_SCRIPTS:
            raise RefusalError("QUOTA/MAXSCRIPTS", "There are as many scripts as there may be.")
        return ok()

    async def _put(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.6: a script of this name is replaced."""
        name, content = self._take(arguments, 2)
        known = (await self._known()).get(text(name))
        update = pb.ScriptUpdate(content=_octets(content))
        if known is None:
            update.name = text(name)
        else:
            update.script_id = known.script_id
        await self._update(update)
        return ok()

    async def _list(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.7."""
        self._take(arguments, 0)
        known = (await self._known()).values()
        return b"".join(string(one.name) + (b" ACTIVE" if one.active else b"") + b"\r\n" for one in known) + ok()

    async def _set_active(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.8: an empty name is none."""
        (name,) = self._take(arguments, 1)
        request = pb.UpdateScriptsRequest(deactivate=not text(name))
        if text(name):
            request.activate_id = (await self._named(name)).script_id
        await self._scripts.update(self._person, request)
        return ok()

    async def _get(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.9."""
        (name,) = self._take(arguments, 1)
        content = await self._scripts.content(self._person, (await self._named(name)).content_id)
        if content is None:
            raise RefusalError("NONEXISTENT", "It is gone.")
        return b"{%d}\r\n" % len(content) + content + b"\r\n" + ok()

    async def _delete(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.10."""
        (name,) = self._take(arguments, 1)
        await self._update(pb.ScriptUpdate(script_id=(await self._named(name)).script_id, destroy=True))
        return ok()

    async def _rename(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.11."""
        old, new = self._take(arguments, 2)
        await self._update(pb.ScriptUpdate(script_id=(await self._named(old)).script_id, name=text(new)))
        return ok()

    async def _check(self, arguments: Sequence[bytes | int]) -> bytes:
        """RFC 5804 §2.12."""
        (content,) = self._take(arguments, 1)
        found = await self._scripts.check(self._person, _octets(content))
        if found.status != pb.SCRIPT_STATUS_OK:
            raise _refusal(found.status, found.reason)
        return ok()

    async def _update(self, update: pb.ScriptUpdate) -> None:
        done = await self._scripts.update(self._person, pb.UpdateScriptsRequest(updates=[update]))
        if done.results[0].status != pb.SCRIPT_STATUS_OK:
            raise _refusal(done.results[0].status, done.results[0].reason)


def _octets(word: bytes | int) -> bytes:
    if isinstance(word, int):
        raise RefusalError("", "A string is wanted.")
    return word


def _refusal(status: pb.ScriptStatus.ValueType, reason: str) -> RefusalError:
    """Return what an outcome of delivery is (RFC 5804 §1.3)."""
    codes = {
        pb.SCRIPT_STATUS_NOT_FOUND: ("NONEXISTENT", "There is no such script."),
        pb.SCRIPT_STATUS_NAME_TAKEN: ("ALREADYEXISTS", "Another script has this name."),
        pb.SCRIPT_STATUS_ACTIVE: ("ACTIVE", "The active script is not deleted."),
        pb.SCRIPT_STATUS_TOO_MANY: ("QUOTA/MAXSCRIPTS", "There are as many scripts as there may be."),
        pb.SCRIPT_STATUS_TOO_LARGE: ("QUOTA/MAXSIZE", "A script may not be so large."),
        pb.SCRIPT_STATUS_INVALID_NAME: ("", "A script cannot have this name."),
    }
    code, told = codes.get(status, ("", reason))
    return RefusalError(code, told)
