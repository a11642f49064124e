"""RFC 8620 §5.3: the states around a call that is several commits, between which others may change the account."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.conformance.jmap_people import MemoryPeople
from tests.conformance.jmap_store import MemoryStore, person_identity

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context, MethodLimits, run_calls
from petitbleu_gateway.jmap.envelope import CORE, MAIL, Request
from petitbleu_gateway.methods.registry import build_registry
from petitbleu_gateway.ports import Identity

OURS, OUR_ID = person_identity(101), ids.account_id_text(101)
DRAFTS = {"mailboxIds": {"F2": True}, "keywords": {"$draft": True}}
MAIL_OF_OTHERS = b"From: a@x.example\r\nSubject: meanwhile\r\n\r\nHello\r\n"


class Busy(MemoryStore):
    """A store in which mail arrives just before the commits that are named, counted from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.arrives: set[int] = set()

    def _commit(self) -> None:
        self.commits += 1
        if self.commits in self.arrives:
            self.person(101).file(MAIL_OF_OTHERS)

    async def import_message(self, who: Identity, request: pb.ImportMessageRequest) -> pb.ImportMessageResponse:
        self._commit()
        return await super().import_message(who, request)

    async def update(self, who: Identity, request: pb.UpdateMessagesRequest) -> pb.UpdateMessagesResponse:
        self._commit()
        return await super().update(who, request)


@pytest.fixture
def store() -> Busy:
    found = Busy()
    found.person(101).file(b"From: a@x.example\r\nSubject: first\r\n\r\nHello\r\n")
    return found


async def call(store: Busy, method: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    context = Context(OURS, store, MethodLimits(500, 500, 1000, 1 << 20, 1 << 20, 1 << 20, 1 << 20), MemoryPeople())
    request = Request(using=[CORE, MAIL], method_calls=[(method, {"accountId": OUR_ID, **arguments}, "0")])
    (written,) = await run_calls(build_registry(), request, context)
    name, result, _ = msgspec.json.decode(bytes(written))
    return name, result


async def test_rfc8620_5_3_a_draft_is_made_in_the_state_that_is_asked_for_or_not_at_all(store: Busy) -> None:
    store.arrives = {1}
    state = str(store.person(101).modseq)
    name, result = await call(store, "Email/set", ifInState=state, create={"d": DRAFTS})
    assert (name, result["type"]) == ("error", "stateMismatch")
    assert len(store.person(101).messages) == 2, "the first and what came meanwhile"


async def test_rfc8620_5_3_several_drafts_are_made_in_the_state_that_is_asked_for(store: Busy) -> None:
    state = str(store.person(101).modseq)
    name, result = await call(
        store, "Email/set", ifInState=state, create={"a": DRAFTS, "b": DRAFTS}, update={"M1": {"keywords/$seen": True}}
    )
    assert (name, set(result["created"]), set(result["updated"])) == ("Email/set", {"a", "b"}, {"M1"})
    assert (result["oldState"], result["newState"]) == (state, str(store.person(101).modseq))


@pytest.mark.parametrize("commit", [2, 3])
async def test_rfc8620_5_3_what_others_changed_between_the_commits_of_a_set_is_not_hidden(
    store: Busy, commit: int
) -> None:
    store.arrives = {commit}
    _, result = await call(
        store, "Email/set", create={"a": DRAFTS, "b": DRAFTS}, update={"M1": {"keywords/$seen": True}}
    )
    assert (result["oldState"], result["newState"]) == (None, str(store.person(101).modseq))
    assert (set(result["created"]), set(result["updated"])) == ({"a", "b"}, {"M1"})


async def test_rfc8620_5_3_what_others_changed_before_the_first_commit_is_in_the_old_state(store: Busy) -> None:
    store.arrives = {1}
    before = store.person(101).modseq
    _, result = await call(store, "Email/set", create={"a": DRAFTS, "b": DRAFTS})
    assert int(result["oldState"]) > before


@pytest.mark.parametrize("arrives", [{1}, {2}])
async def test_rfc8621_4_8_what_others_changed_between_imports_is_not_hidden(store: Busy, arrives: set[int]) -> None:
    uploads = {}
    for number, text in enumerate((b"one", b"two")):
        blob = (1 << 40) + number
        store.person(101).uploads[blob] = b"From: a@x.example\r\nSubject: %b\r\n\r\nHello\r\n" % text
        uploads[f"i{number}"] = {"blobId": f"U{blob}", "mailboxIds": {"F1": True}}
    store.arrives = arrives
    name, result = await call(store, "Email/import", emails=uploads)
    assert (name, result["notCreated"]) == ("Email/import", None)
    assert (result["oldState"] is None) == (arrives == {2})
    assert result["newState"] == str(store.person(101).modseq)
