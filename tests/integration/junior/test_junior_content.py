"""What is inside a child's letter: links that lead to our page only, and attachments of allowed kinds, made anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from libs.petitbleu_mail.tests.test_mail_leaving import Links
from tests.conformance.jmap_client import JmapClient
from tests.integration.delivery_world import ONLY, PASSWORD, DeliveryWorld, prepared_stack, world_of
from tests.integration.junior.conftest import Family
from tests.ports import offset_of

from petitbleu.junior_guard.v1 import junior_guard_pb2
from petitbleu.store.v1 import accept_pb2
from petitbleu_dev.stack import Stack

PASSES = accept_pb2.AuthenticationVerdicts(from_authenticated=True)
PAL = "pal@else.test"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(
        tmp_path_factory.mktemp("content") / "data", offset_of(502), only=f"{ONLY},ingest,gateway"
    ) as stack:
        yield stack


@pytest.fixture
async def world(served: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(served) as made:
        yield made


class Reader:
    """A person at the gateway with letters of a friend's."""

    def __init__(self, world: DeliveryWorld, url: str, address: str) -> None:
        self._world = world
        self._address = address
        self.client = JmapClient(url, address, PASSWORD)

    async def receive(self, kind: str, body: bytes) -> dict[str, Any]:
        """Deliver a letter of a Content-Type and a body, and return its Email."""
        head = f"From: Pal <{PAL}>\r\nMessage-ID: <{uuid4().hex}@else.test>\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n"
        known = set(await self._run("Email/query"))
        accepted = await self._world.accept(self._address, mail_from=PAL, body=head.encode() + body, verdicts=PASSES)
        await self._world.settled(accepted)
        (new,) = set(await self._run("Email/query")) - known
        return await asyncio.to_thread(self.client.get, new, "id", "blobId", "attachments")

    async def _run(self, method: str) -> list[str]:
        found = await asyncio.to_thread(self.client.call, method)
        return list(found["ids"])

    async def rendering(self, name: str, **choices: str) -> dict[str, Any]:
        path = f"/api/messages/{self.client.account}/{name}/rendering"
        answer = await asyncio.to_thread(self.client.http.get, path, params=choices)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def child(world: DeliveryWorld, served: Stack, family: Family) -> AsyncIterator[Reader]:
    approval = junior_guard_pb2.ApproveRequest(account_id=family.child_id, address=PAL)
    await world.guard_admin("Approve", approval)
    found = await asyncio.to_thread(Reader, world, f"http://127.0.0.1:{served.port('http')}", family.child)
    yield found
    found.client.http.close()


@pytest.fixture
async def mother(world: DeliveryWorld, served: Stack, family: Family) -> AsyncIterator[Reader]:
    found = await asyncio.to_thread(Reader, world, f"http://127.0.0.1:{served.port('http')}", family.mother)
    yield found
    found.client.http.close()


LINKS = (
    b"<p><a href='https://evil.example/x?y=1'>https://bank.fr</a> <a href='https://bank.fr@evil.example'>a</a> <a href='javascript:x()'>b</a>"
    b"<img src='https://evil.example/spy'><map><area href='//evil.example'></map><form action='//evil.example'><input></form></p>"
)


async def test_a_childs_links_lead_to_our_page(child: Reader, mother: Reader) -> None:
    email = await child.receive("text/html", LINKS)
    found = await child.rendering(email["id"], images="proxy")
    page = f"{child.client.url}/#/leave/"
    links = Links(found["html"]).found
    assert [href for href, _ in links if href] == [page + quote("https://evil.example/x?y=1", safe="")]
    assert links[0][1] == "https://evil.example/x?y=1 https://bank.fr"
    assert found["images"] == {"mode": "never", "count": 1, "expiresAt": None}
    shown = await asyncio.to_thread(
        child.client.http.get,
        f"/api/messages/{child.client.account}/{email['id']}/rendering",
        params={"as": "document"},
    )
    assert f'href="{page}' in shown.text
    assert "spy" not in shown.text
    # an adult's are what they were
    email = await mother.receive("text/html", LINKS)
    found = await mother.rendering(email["id"])
    assert 'href="https://evil.example/x?y=1"' in found["html"]
    assert 'data-remote-src="https://evil.example/spy"' in found["html"]


async def test_a_childs_plain_text_has_no_other_links(child: Reader) -> None:
    email = await child.receive(
        "text/plain; charset=utf-8", "see https://\u0455chool.example/ or mailto:x@y.example".encode()
    )
    found = await child.rendering(email["blobId"])
    ((href, words),) = Links(found["html"]).found
    assert href == f"{child.client.url}/#/leave/" + quote("https://xn--chool-g2e.example/", safe="")
    assert words == "https://xn--chool-g2e.example/"
