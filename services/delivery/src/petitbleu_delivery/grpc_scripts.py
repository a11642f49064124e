"""ScriptService of the contract: translation only."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
import grpc.aio

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu.delivery.v1 import scripts_pb2_grpc
from petitbleu_delivery.domain.scripts import MAX_SCRIPT_OCTETS, Script, ScriptResult, ScriptUpdate
from petitbleu_delivery.domain.vacation import Vacation
from petitbleu_delivery.service.scripts.keeping import NotSoundError, ScriptKeeping, StateMismatchError, Switch, check
from petitbleu_kit.identity import Principal
from petitbleu_kit.rpc import caller

ALLOWED_SCRIPTS: Final = {"/petitbleu.delivery.v1.ScriptService/": frozenset({"gateway"})}
PERSON_SCRIPTS: Final = frozenset(
    f"/petitbleu.delivery.v1.ScriptService/{name}"
    for name in ("ListScripts", "ReadScript", "UpdateScripts", "CheckScript", "GetVacation", "SetVacation")
)
_MAX_UPDATES: Final = 100

_Context = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request")
Response = TypeVar("Response")


class _ForbiddenError(Exception):
    """The principal is another's."""


def _answered(
    method: Callable[[Any, Request, _Context], Awaitable[Response]],
) -> Callable[[Any, Request, _Context], Awaitable[Response]]:
    @functools.wraps(method)
    async def wrapped(self: Any, request: Request, context: _Context) -> Response:
        try:
            return await method(self, request, context)
        except _ForbiddenError:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "another account")
        except StateMismatchError:
            await context.abort(grpc.StatusCode.ABORTED, "state mismatch")
        except NotSoundError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not sound")
        raise AssertionError("unreachable")

    return wrapped


def _person(account_id: int) -> Principal:
    principal = caller().principal
    if principal is None or principal.account_id != account_id:
        raise _ForbiddenError
    return principal


def _script(one: Script) -> pb.Script:
    return pb.Script(
        script_id=one.script_id, name=one.name, content_id=one.content_id, octets=one.octets, active=one.active
    )


def _result(one: ScriptResult) -> pb.ScriptResult:
    return pb.ScriptResult(
        status=pb.ScriptStatus.ValueType(int(one.status)), script=None if one.script is None else _script(one.script),
        reason=one.reason, existing_id=one.existing_id,
    )  # fmt: skip


def _update(one: pb.ScriptUpdate) -> ScriptUpdate:
    return ScriptUpdate(
        one.script_id, one.created_by if one.HasField("created_by") else None, one.destroy,
        one.name if one.HasField("name") else None, one.content if one.HasField("content") else None,
    )  # fmt: skip


def _vacation(one: pb.Vacation) -> Vacation:
    given: dict[str, Any] = {"from": None, "to": None, "subject": None, "text_body": None, "html_body": None}
    for name in given:
        if one.HasField(name):  # type: ignore[arg-type]
            given[name] = getattr(one, name)
    return Vacation(one.enabled, given["from"], given["to"], given["subject"], given["text_body"], given["html_body"])


def _vacation_message(one: Vacation) -> pb.Vacation:
    shown = pb.Vacation(
        enabled=one.enabled, to=one.to_seconds, subject=one.subject, text_body=one.text_body, html_body=one.html_body
    )
    if one.from_seconds is not None:
        setattr(shown, "from", one.from_seconds)  # a word of Python's own
    return shown


class ScriptServicer(scripts_pb2_grpc.ScriptServiceServicer):
    """Answers people, by way of the gateway."""

    def __init__(self, keeping: ScriptKeeping) -> None:
        self._keeping = keeping

    @_answered
    async def ListScripts(self, request: pb.ListScriptsRequest, _context: _Context) -> pb.ListScriptsResponse:
        """Give all scripts."""
        scripts, modseq = await self._keeping.scripts(_person(request.account_id))
        return pb.ListScriptsResponse(scripts=map(_script, scripts), modseq=modseq)

    @_answered
    async def ReadScript(self, request: pb.ReadScriptRequest, context: _Context) -> pb.ReadScriptResponse:
        """Give a content."""
        content = await self._keeping.content(_person(request.account_id), request.content_id)
        if content is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such content")
        return pb.ReadScriptResponse(content=content)

    @_answered
    async def UpdateScripts(self, request: pb.UpdateScriptsRequest, _context: _Context) -> pb.UpdateScriptsResponse:
        """Change scripts."""
        who = _person(request.account_id)
        if len(request.updates) > _MAX_UPDATES:
            raise NotSoundError
        switched = Switch(
            request.activate_id,
            request.activate_created_by if request.HasField("activate_created_by") else None,
            request.deactivate,
        )
        expected = request.if_modseq if request.HasField("if_modseq") else None
        done = await self._keeping.update(who, list(map(_update, request.updates)), switched, expected)
        return pb.UpdateScriptsResponse(
            results=map(_result, done.results), old_modseq=done.old_modseq, new_modseq=done.new_modseq,
            activated_id=done.activated_id, deactivated_id=done.deactivated_id,
        )  # fmt: skip

    @_answered
    async def CheckScript(self, request: pb.CheckScriptRequest, _context: _Context) -> pb.CheckScriptResponse:
        """Say what is wrong with a script."""
        _person(request.account_id)
        if len(request.content) > MAX_SCRIPT_OCTETS:
            return pb.CheckScriptResponse(status=pb.SCRIPT_STATUS_TOO_LARGE)
        reason = await check(request.content)
        return pb.CheckScriptResponse(
            status=pb.SCRIPT_STATUS_INVALID_CONTENT if reason else pb.SCRIPT_STATUS_OK, reason=reason
        )

    @_answered
    async def GetVacation(self, request: pb.GetVacationRequest, _context: _Context) -> pb.GetVacationResponse:
        """Give the answer while the owner is away."""
        vacation, modseq = await self._keeping.vacation(_person(request.account_id))
        return pb.GetVacationResponse(vacation=_vacation_message(vacation), modseq=modseq)

    @_answered
    async def SetVacation(self, request: pb.SetVacationRequest, _context: _Context) -> pb.SetVacationResponse:
        """Replace it."""
        who = _person(request.account_id)
        expected = request.if_modseq if request.HasField("if_modseq") else None
        old, new = await self._keeping.set_vacation(who, _vacation(request.vacation), expected)
        return pb.SetVacationResponse(old_modseq=old, new_modseq=new)

    @_answered
    async def GetScriptStates(
        self, request: pb.GetScriptStatesRequest, _context: _Context
    ) -> pb.GetScriptStatesResponse:
        """Say how far accounts are."""
        found = await self._keeping.states(request.account_ids)
        return pb.GetScriptStatesResponse(
            states=[
                pb.ScriptModseq(account_id=account_id, modseq=modseq, vacation_modseq=vacation)
                for account_id, (modseq, vacation) in found.items()
            ]
        )
