"""Identities in a real PostgreSQL (RFC 8621 §6): each address has one, and they are nobody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
from tests.integration.accounts.conftest import World

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu.accounts.v1 import accounts_pb2_grpc
from petitbleu.events.v1 import events_pb2
from petitbleu_kit.ids import partition_of_account

PASSWORD = "a long password"


@dataclass
class Person:
    """Somebody with an account, as the gateway speaks for them."""

    world: World
    account_id: int
    principal: str

    async def ask(self, method: str, *, service: str = "gateway", **fields: Any) -> Any:
        peer = self.world.peer(service)
        stub = accounts_pb2_grpc.IdentityServiceStub(peer.channel)
        request = getattr(pb, f"{method}Request")(
            **{k: v for k, v in {"account_id": self.account_id, **fields}.items() if v is not None}
        )
        return await peer.call(getattr(stub, method), request, timeout=10, principal=self.principal)

    async def listed(self) -> dict[str, Any]:
        return {one.email: one for one in (await self.ask("ListIdentities")).identities}

    async def update(self, *updates: pb.IdentityUpdate, **fields: Any) -> Any:
        return await self.ask("UpdateIdentities", updates=updates, **fields)

    async def told(self) -> list[int]:
        rows = await self.world.sql("SELECT payload FROM outbox WHERE subject LIKE 'accounts.identity.changed.v1.%'")
        events = [events_pb2.IdentityChanged.FromString(row["payload"]) for row in rows]
        return sorted(event.modseq for event in events if event.account_id == self.account_id)


async def person(world: World, address: str, **fields: Any) -> Person:
    made = await world.create(address=address, password=PASSWORD, **fields)
    assert made.error == ""
    found = await world.authenticate(login=address, password=PASSWORD, protocol="jmap")
    return Person(world, made.account.account_id, found.principal)


async def code(asked: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asked
    found: grpc.StatusCode = refused.value.code()
    return found


async def test_every_address_has_an_identity_from_the_start(world: World) -> None:
    anna = await person(world, "anna@one.test", display_name="Anna Blume")
    await world.admin("PutAlias", address="a.blume@one.test", members=["anna@one.test"])
    await person(world, "bob@one.test")
    await world.admin("PutAlias", address="team@one.test", members=["anna@one.test", "bob@one.test"])
    found = await anna.listed()
    assert set(found) == {"anna@one.test", "a.blume@one.test"}
    assert {one.name for one in found.values()} == {"Anna Blume"}
    assert not found["anna@one.test"].may_delete
    assert found["a.blume@one.test"].may_delete
    again = await anna.ask("ListIdentities")
    assert again.modseq == 2
    assert await anna.told() == [2]


async def test_identities_follow_the_addresses_and_are_told(world: World) -> None:
    anna = await person(world, "anna@one.test")
    first = await anna.ask("ListIdentities")
    await world.admin("PutAlias", address="other@one.test", members=["anna@one.test"])
    assert len(await anna.told()) == 2
    changed = await anna.ask("GetIdentityChanges", since_modseq=first.modseq)
    assert len(changed.created) == 1
    kept = (await anna.listed())["other@one.test"]
    await anna.update(pb.IdentityUpdate(email="other+shop@one.test"))
    await world.admin("DeleteAlias", address="other@one.test")
    assert set(await anna.listed()) == {"anna@one.test"}
    gone = await anna.ask("GetIdentityChanges", since_modseq=changed.new_modseq)
    assert list(gone.destroyed) == [kept.identity_id]
    await world.admin("PutAlias", address="other@one.test", members=["anna@one.test"])
    back = (await anna.listed())["other@one.test"]
    assert back.identity_id > kept.identity_id


async def test_a_destroyed_identity_does_not_come_back(world: World) -> None:
    anna = await person(world, "anna@one.test")
    await world.admin("PutAlias", address="other@one.test", members=["anna@one.test"])
    found = await anna.listed()
    done = await anna.update(
        pb.IdentityUpdate(identity_id=found["other@one.test"].identity_id, destroy=True),
        pb.IdentityUpdate(identity_id=found["anna@one.test"].identity_id, destroy=True),
    )
    assert [one.status for one in done.results] == [pb.IDENTITY_STATUS_OK, pb.IDENTITY_STATUS_FORBIDDEN]
    assert set(await anna.listed()) == {"anna@one.test"}


async def test_another_person_s_identities_are_out_of_reach(world: World) -> None:
    anna, bob = await person(world, "anna@one.test"), await person(world, "bob@one.test")
    stranger = await person(world, "carl@two.test")
    secret = (await anna.listed())["anna@one.test"]
    for other in (bob, stranger):
        for method, fields in (
            ("ListIdentities", {}), ("GetIdentityChanges", {"since_modseq": 0}),
            ("UpdateIdentities", {"updates": [pb.IdentityUpdate(identity_id=secret.identity_id, name="Mallory")]}),
        ):  # fmt: skip
            asked = other.ask(method, account_id=anna.account_id, **fields)
            assert await code(asked) == grpc.StatusCode.PERMISSION_DENIED
    nobody = Person(world, anna.account_id, "")
    assert await code(nobody.ask("ListIdentities")) == grpc.StatusCode.UNAUTHENTICATED
    assert await code(anna.ask("ListIdentities", service="ingest")) == grpc.StatusCode.PERMISSION_DENIED
    for email in ("anna@one.test", "anna+x@one.test", "postmaster@one.test", "nobody@one.test", "anna@elsewhere.test"):
        done = await bob.update(pb.IdentityUpdate(email=email))
        assert done.results[0].status == pb.IDENTITY_STATUS_FORBIDDEN_FROM
    assert (await anna.listed())["anna@one.test"].name == secret.name


async def test_a_group_is_nobody_s_own_address(world: World) -> None:
    anna = await person(world, "anna@one.test")
    await person(world, "bob@one.test")
    await world.admin("PutAlias", address="team@one.test", members=["anna@one.test", "bob@one.test"])
    done = await anna.update(pb.IdentityUpdate(email="team@one.test"))
    assert done.results[0].status == pb.IDENTITY_STATUS_FORBIDDEN_FROM
    await world.admin("PutAlias", address="team@one.test", members=["anna@one.test"])
    await world.admin("PutAlias", address="deep@one.test", members=["team@one.test"])
    assert {"team@one.test", "deep@one.test"} <= set(await anna.listed())
    await world.admin("PutAlias", address="team@one.test", members=["anna@one.test", "bob@one.test"])
    assert set(await anna.listed()) == {"anna@one.test"}


async def test_a_child_may_sign_and_is_who_it_is(world: World) -> None:
    await person(world, "anna@one.test")
    zoe = await person(world, "zoe@one.test", display_name="Zoé", guarded=True, guardians=["anna@one.test"])
    mine = (await zoe.listed())["zoe@one.test"].identity_id
    to = pb.EmailAddresses(addresses=[pb.EmailAddress(email="friend@elsewhere.test")])
    done = await zoe.update(
        pb.IdentityUpdate(identity_id=mine, text_signature="Zoé, 9 ans"), pb.IdentityUpdate(identity_id=mine, name="Maman"),
        pb.IdentityUpdate(identity_id=mine, reply_to=to), pb.IdentityUpdate(identity_id=mine, bcc=to),
        pb.IdentityUpdate(email="zoe+x@one.test", name="Papa"), pb.IdentityUpdate(email="zoe+x@one.test"),
    )  # fmt: skip
    ok, forbidden = pb.IDENTITY_STATUS_OK, pb.IDENTITY_STATUS_FORBIDDEN
    assert [one.status for one in done.results] == [ok, forbidden, forbidden, forbidden, forbidden, ok]
    found = await zoe.listed()
    assert {one.name for one in found.values()} == {"Zoé"}
    assert found["zoe@one.test"].text_signature == "Zoé, 9 ans"


async def test_changes_are_one_commit_and_states_are_real(world: World) -> None:
    anna = await person(world, "anna@one.test")
    start = (await anna.ask("ListIdentities")).modseq
    assert await code(anna.update(if_modseq=start + 1)) == grpc.StatusCode.ABORTED
    done = await anna.update(
        pb.IdentityUpdate(email="anna+a@one.test", name="A"), pb.IdentityUpdate(created_by=0, name="B"),
        pb.IdentityUpdate(email="anna+b@one.test"), pb.IdentityUpdate(identity_id=99, name="C"), if_modseq=start,
    )  # fmt: skip
    assert [one.status for one in done.results[:3]] == [pb.IDENTITY_STATUS_OK] * 3
    assert done.results[3].status == pb.IDENTITY_STATUS_NOT_FOUND
    assert done.results[1].identity.name == "B"
    assert (done.old_modseq, done.new_modseq) == (start, start + 3)
    assert (await anna.told())[-1] == done.new_modseq
    same = await anna.update(pb.IdentityUpdate(identity_id=done.results[0].identity.identity_id, name="B"))
    assert same.old_modseq == same.new_modseq
    window = await anna.ask("GetIdentityChanges", since_modseq=start, max_changes=1)
    assert (len(window.created), window.has_more) == (1, True)
    rest = await anna.ask("GetIdentityChanges", since_modseq=window.new_modseq)
    assert {*window.created, *rest.created} == {one.identity.identity_id for one in done.results[:3]}
    for since in (-1, done.new_modseq + 1):
        assert await code(anna.ask("GetIdentityChanges", since_modseq=since)) == grpc.StatusCode.OUT_OF_RANGE
    states = await anna.ask("GetIdentityStates", account_id=None, account_ids=[anna.account_id, 5])
    assert [(one.account_id, one.modseq) for one in states.states] == [(anna.account_id, done.new_modseq)]


async def test_what_is_destroyed_leaves_nothing_behind_and_the_log_is_bounded(world: World) -> None:
    anna = await person(world, "anna@one.test")
    start = (await anna.ask("ListIdentities")).modseq
    for _ in range(3):
        updates = []
        for number in range(90):
            updates.append(pb.IdentityUpdate(email=f"anna+x{number}@one.test", html_signature="<b>secret</b>"))
            updates.append(pb.IdentityUpdate(created_by=len(updates) - 1, destroy=True))
        done = await anna.update(*updates)
        assert {one.status for one in done.results} == {pb.IDENTITY_STATUS_OK}
    rows = await world.sql("SELECT * FROM identity WHERE gone")
    assert len(rows) == 200
    assert {(row["email"], row["html_signature"]) for row in rows} == {("", "")}
    assert await code(anna.ask("GetIdentityChanges", since_modseq=start)) == grpc.StatusCode.OUT_OF_RANGE
    many = await anna.update(*[pb.IdentityUpdate(email=f"anna+y{number}@one.test") for number in range(101)])
    assert [one.status for one in many.results].count(pb.IDENTITY_STATUS_OK) == 99
    assert many.results[-1].status == pb.IDENTITY_STATUS_TOO_MANY


async def test_closing_an_account_forgets_its_identities(world: World) -> None:
    anna = await person(world, "anna@one.test")
    await anna.listed()
    await world.admin("CloseAccount", address="anna@one.test")
    place = (partition_of_account(anna.account_id), anna.account_id)
    for table in ("identity", "identity_book"):
        assert await world.sql(f"SELECT 1 FROM {table} WHERE partition = $1 AND account_id = $2", *place) == []
    assert await code(anna.ask("ListIdentities")) == grpc.StatusCode.NOT_FOUND
    assert await world.sql("SELECT 1 FROM identity_book WHERE account_id = $1", anna.account_id) == []
