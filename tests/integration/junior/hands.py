"""What persons ask of junior-guard, as the gateway would for them."""

from __future__ import annotations

import time
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.integration.delivery_world import DeliveryWorld

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu.junior_guard.v1 import family_pb2_grpc, junior_guard_pb2
from petitbleu_kit.identity import Principal, principal_claims
from petitbleu_kit.ids import new_blob_id


class Hands:
    """One test's hands on the doors of guardians and children."""

    def __init__(self, world: DeliveryWorld) -> None:
        self._world = world

    def principal(self, account_id: int, *, guarded: bool = False, tenant_id: int = 0, cooling: float = 0) -> str:
        """A principal; with `cooling`, of whom it is not sure for so many seconds that it is the person."""
        until = int(time.time() + cooling) if cooling else 0
        who = Principal(
            account_id, tenant_id or self._world._tenants[account_id], ("person",), 0, guarded, cooling_until=until
        )
        return self._world.signer("accounts").sign("petitbleu", principal_claims(who), 60)

    async def ask(self, account_id: int, method: str, request: Any, *, caller: str = "gateway", **who: Any) -> Any:
        service = "Child" if method in {"GetMine", "AskFor"} else "Family"
        stub = getattr(family_pb2_grpc, f"{service}ServiceStub")
        principal = self.principal(account_id, **who)
        return await self._world.call("junior-guard", caller, stub, method, request, principal)

    async def say(self, guardian: int, child: int, address: str, action: str, **more: Any) -> pb.Correspondent:
        request = pb.SetVoiceRequest(
            account_id=child, address=address, action=pb.VoiceAction.Value(f"VOICE_ACTION_{action}"), **more
        )
        stands: pb.Correspondent = (await self.ask(guardian, "SetVoice", request)).correspondent
        return stands

    async def passes(self, child: int, address: str) -> bool:
        decided = await self._world.check(child, new_blob_id(1, 0).bytes, address, authenticated=True)
        return bool(decided.verdict == junior_guard_pb2.VERDICT_DELIVER)


async def refused(work: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await work
    code: grpc.StatusCode = error.value.code()
    return code
