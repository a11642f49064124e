"""RFC 8620 §5.4 and §6.3: copies between two accounts of one session, with no store behind them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.conformance.jmap_people import MemoryPeople
from tests.conformance.jmap_store import MemoryStore, person_identity

from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context, MethodLimits, run_calls
from petitbleu_gateway.jmap.envelope import BLOB, CORE, MAIL, Request
from petitbleu_gateway.methods.registry import build_registry

OURS, THEIRS = person_identity(101), person_identity(102, "bob@demo.test")
OUR_ID, THEIR_ID = ids.account_id_text(101), ids.account_id_text(102)
RAW = b"From: a@x.example\r\nSubject: copied\r\n\r\nHello\r\n"


class World:
    """Two accounts of one person."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        limits = MethodLimits(500, 500, 1000, 1 << 20, 1 << 20, 1 << 20, 1 << 20)
        self.context = Context(OURS, self.store, limits, MemoryPeople(), others={THEIR_ID: THEIRS})
        self.row = self.store.person(102).file(RAW, (2,), ("$seen",), 1_700_000_000_000)

    async def run(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        request = Request(
            using=[CORE, MAIL, BLOB],
            method_calls=[(name, arguments, str(number)) for number, (name, arguments) in enumerate(calls)],
        )
        written = await run_calls(build_registry(), request, self.context)
        return [msgspec.json.decode(bytes(raw)) for raw in written]

    async def copy(self, email: dict[str, Any], **more: Any) -> list[Any]:
        arguments = {"fromAccountId": THEIR_ID, "accountId": OUR_ID, "create": {"c": email}, **more}
        return await self.run(("Email/copy", arguments))

    @property
    def email(self) -> dict[str, Any]:
        return {"id": f"M{self.row.message_id}", "mailboxIds": {"F1": True}}


@pytest.fixture
def world() -> World:
    return World()


async def test_rfc8621_4_7_copy_keeps_what_is_not_given(world: World) -> None:
    ((name, result, _),) = await world.copy(world.email)
    assert name == "Email/copy"
    assert (result["fromAccountId"], result["accountId"], result["notCreated"]) == (THEIR_ID, OUR_ID, None)
    assert set(result["created"]["c"]) == {"id", "blobId", "threadId", "size"}
    kept = world.store.person(101).messages[ids.message_number(result["created"]["c"]["id"]) or 0]
    assert kept.served == RAW
    assert (list(kept.row.mailbox_ids), list(kept.row.keywords), kept.row.received_at_ms) == (
        [1], ["$seen"], 1_700_000_000_000,
    )  # fmt: skip
    assert (result["oldState"], result["newState"]) == ("1", str(world.store.person(101).modseq))
    assert result["newState"] > "1"
    assert world.row.message_id in world.store.person(102).messages


async def test_rfc8621_4_7_copy_takes_what_is_given(world: World) -> None:
    email = {**world.email, "keywords": {}, "receivedAt": "2020-01-01T00:00:00Z"}
    ((_, result, _),) = await world.copy(email)
    kept = world.store.person(101).messages[ids.message_number(result["created"]["c"]["id"]) or 0]
    assert (list(kept.row.keywords), kept.row.received_at_ms) == ([], 1_577_836_800_000)


async def test_rfc8620_5_4_original_is_destroyed_by_a_call_of_its_own(world: World) -> None:
    (name, result, first), (implied, destroyed, second) = await world.copy(world.email, onSuccessDestroyOriginal=True)
    assert (name, implied, first, second) == ("Email/copy", "Email/set", "0", "0")
    assert set(result["created"]) == {"c"}
    assert (destroyed["accountId"], destroyed["destroyed"]) == (THEIR_ID, [f"M{world.row.message_id}"])
    assert not world.store.person(102).messages


async def test_rfc8620_5_4_original_stays_when_its_account_is_in_another_state(world: World) -> None:
    responses = await world.copy(world.email, onSuccessDestroyOriginal=True, destroyFromIfInState="77")
    assert [name for name, _, _ in responses] == ["Email/copy", "error"]
    assert responses[1][1]["type"] == "stateMismatch"
    assert world.row.message_id in world.store.person(102).messages


async def test_rfc8620_5_4_nothing_copied_destroys_nothing(world: World) -> None:
    responses = await world.copy({**world.email, "id": "M99"}, onSuccessDestroyOriginal=True)
    assert [name for name, _, _ in responses] == ["Email/copy"]
    assert responses[0][1]["notCreated"]["c"]["type"] == "notFound"


async def test_rfc8621_4_7_what_exists_already(world: World) -> None:
    ((_, first, _),) = await world.copy(world.email)
    ((_, again, _),) = await world.copy(world.email)
    assert again["notCreated"]["c"] == {"type": "alreadyExists", "existingId": first["created"]["c"]["id"]}


async def test_rfc8620_5_4_states(world: World) -> None:
    for name, account in (("ifFromInState", 102), ("ifInState", 101)):
        ((_, error, _),) = await world.copy(world.email, **{name: "99"})
        assert error["type"] == "stateMismatch"
        state = str(world.store.person(account).modseq)
        ((_, result, _),) = await world.copy({**world.email, "keywords": {name: True}}, **{name: state})
        assert result["created"] or result["notCreated"]["c"]["type"] == "alreadyExists"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [({"id": None}, ["id"]), ({"mailboxIds": None}, ["mailboxIds"]), ({"keywords": 5}, ["keywords"]), ({"receivedAt": "x"}, ["receivedAt"]),
     ({"subject": "x"}, ["subject"])],
)  # fmt: skip
async def test_rfc8621_4_7_invalid_properties(world: World, given: dict[str, Any], wrong: list[str]) -> None:
    ((_, result, _),) = await world.copy({**world.email, **given})
    assert result["notCreated"]["c"]["type"] == "invalidProperties"
    assert result["notCreated"]["c"]["properties"] == wrong


async def test_rfc8621_4_7_over_quota(world: World) -> None:
    world.store.person(101).over_quota = True
    ((_, result, _),) = await world.copy(world.email)
    assert result["notCreated"]["c"]["type"] == "overQuota"


async def test_rfc8620_6_3_blob_of_another_account(world: World) -> None:
    blob = ids.blob_id(world.row.message_id)
    arguments = {"fromAccountId": THEIR_ID, "accountId": OUR_ID, "blobIds": [blob, f"{blob}-1", "U1"]}
    ((_, result, _),) = await world.run(("Blob/copy", arguments))
    assert set(result["copied"]) == {blob, f"{blob}-1"}
    assert result["notCopied"]["U1"]["type"] == "notFound"
    octets = list(world.store.person(101).uploads.values())
    assert octets == [RAW, b"Hello\r\n"]


async def test_rfc8620_6_3_blob_that_is_too_large(world: World) -> None:
    world.context.limits = MethodLimits(500, 500, 1000, 1 << 20, 1 << 20, 1 << 20, 3)
    arguments = {"fromAccountId": THEIR_ID, "accountId": OUR_ID, "blobIds": [ids.blob_id(world.row.message_id)]}
    ((_, result, _),) = await world.run(("Blob/copy", arguments))
    assert result["notCopied"][ids.blob_id(world.row.message_id)]["type"] == "tooLarge"


async def test_blobs_that_are_read_whole_take_of_what_the_process_may_hold(world: World) -> None:
    asked: list[int] = []

    def reserve(octets: int) -> bool:
        asked.append(octets)
        return octets != len(RAW) or asked.count(octets) <= 2  # room for two blobs, and for any response

    world.context.reserve = reserve
    arguments = {"accountId": THEIR_ID, "ids": [ids.blob_id(world.row.message_id)]}
    world.context.who = THEIRS
    responses = await world.run(*[("Blob/get", arguments)] * 3)
    assert [name for name, _, _ in responses] == ["Blob/get", "Blob/get", "error"]
    assert responses[2][1]["type"] == "serverUnavailable"
    assert asked.count(len(RAW)) == 3
    assert world.context.held == 2 * len(RAW)
