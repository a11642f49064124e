"""Three clients of one person, each with its caches, who change mail and mailboxes at random while more mail comes."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from typing import Any, Final

from tests.conformance.jmap_caches import ListCache, TypeCache
from tests.conformance.jmap_client import JmapClient

_numbers = itertools.count(1)
KEYWORDS: Final = ("$seen", "$flagged", "$draft", "work")
SORTS: Final[tuple[Any, ...]] = (
    None, [{"property": "receivedAt", "isAscending": False}], [{"property": "receivedAt"}], [{"property": "size"}, {"property": "receivedAt"}],
    [{"property": "hasKeyword", "keyword": "$flagged", "isAscending": False}, {"property": "receivedAt", "isAscending": False}],
    [{"property": "sentAt", "isAscending": False}], [{"property": "subject"}], [{"property": "from"}, {"property": "size"}],
)  # fmt: skip
MAILBOX_SORTS: Final[tuple[Any, ...]] = (
    None, [{"property": "name"}], [{"property": "sortOrder"}, {"property": "name", "isAscending": False}], [{"property": "parentId"}],
)  # fmt: skip


def email_filter(chance: random.Random, boxes: list[str], depth: int = 0) -> Any:
    """Any filter that the words of mail play no part in."""
    conditions: list[Any] = [
        None, {"inMailbox": chance.choice(boxes)}, {"inMailboxOtherThan": chance.sample(boxes, 2)}, {"hasKeyword": "$seen"},
        {"notKeyword": "$flagged"}, {"minSize": 250}, {"hasAttachment": False}, {"after": "2025-07-02T00:00:00Z"},
        {"someInThreadHaveKeyword": "$flagged"}, {"noneInThreadHaveKeyword": "$seen"}, {"allInThreadHaveKeyword": "$seen"},
        {"inMailbox": chance.choice(boxes), "notKeyword": "$seen"},
    ]  # fmt: skip
    if depth < 2 and chance.random() < 0.3:
        inner = [email_filter(chance, boxes, depth + 1) for _ in range(chance.randint(1, 3))]
        operator = chance.choice(["AND", "OR", "NOT"])
        return {"operator": operator, "conditions": [one for one in inner if one is not None]}
    return chance.choice(conditions)


def mailbox_query(chance: random.Random) -> dict[str, Any]:
    filters = [
        None,
        {"hasAnyRole": False},
        {"isSubscribed": True},
        {"parentId": None},
        {"name": "o"},
        {"role": "inbox"},
    ]
    found = {"filter": chance.choice(filters), "sort": chance.choice(MAILBOX_SORTS)}
    return {**found, "sortAsTree": chance.random() < 0.3, "filterAsTree": chance.random() < 0.3}


class Actor:
    """One client: what it knows, and what it does next."""

    def __init__(self, client: JmapClient, number: int) -> None:
        self.client = client
        self.chance = random.Random(number)
        self.types = {name: TypeCache(client, name, self.chance) for name in ("Email", "Mailbox", "Thread")}
        self.lists: list[ListCache] = []
        for cache in self.types.values():
            cache.load()
        boxes = sorted(self.types["Mailbox"].objects)
        while len(self.lists) < 6:
            if len(self.lists) % 3 == 2:
                self._add("Mailbox", mailbox_query(self.chance))
            else:
                collapsed = self.chance.random() < 0.4
                found = email_filter(self.chance, boxes)
                self._add("Email", {"filter": found, "sort": self.chance.choice(SORTS), "collapseThreads": collapsed})

    def _add(self, kind: str, arguments: dict[str, Any]) -> None:
        if self.offered(kind, arguments):
            self.lists.append(ListCache(self.client, kind, arguments, self.chance))
            self.lists[-1].load()

    def offered(self, kind: str, arguments: dict[str, Any]) -> bool:
        """Whether the server has this filter and this sort: it may say that it has not (RFC 8620 §5.5)."""
        call = [f"{kind}/query", {"accountId": self.client.account, "limit": 0, **arguments}, "c"]
        name, result, _ = self.client.responses(call)[0]
        assert name != "error" or result["type"] in {"unsupportedFilter", "unsupportedSort"}, result
        return bool(name != "error")

    def act(self) -> None:
        """Do one thing: change something, or look what has changed."""
        does: list[Callable[[], None]] = [
            self.flag, self.flag, self.move, self.destroy, self.draft, self.make_mailbox, self.change_mailbox, self.destroy_mailbox,
            self.bring, self.look, self.look, self.look,
        ]  # fmt: skip
        self.chance.choice(does)()

    def look(self) -> None:
        caches: list[TypeCache | ListCache] = [*self.types.values(), *self.lists]
        self.chance.choice(caches).step()

    def _some(self, kind: str, most: int = 3) -> list[str]:
        known = sorted(self.types[kind].objects)
        return self.chance.sample(known, min(len(known), self.chance.randint(1, most)))

    def _set(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Change something; another client may have been first."""
        if self.chance.random() < 0.2:
            arguments["ifInState"] = self.types[method.partition("/")[0]].states.latest
        name, result, _ = self.client.responses([method, {"accountId": self.client.account, **arguments}, "c"])[0]
        if name == "error":
            assert result["type"] == "stateMismatch", (method, arguments, result)
            assert "ifInState" in arguments
            return {}
        for refused in ("notCreated", "notUpdated", "notDestroyed"):
            for error in (result.get(refused) or {}).values():
                assert error["type"] in {"notFound", "invalidProperties", "mailboxHasChild", "mailboxHasEmail", "alreadyExists", "forbidden"}, error  # fmt: skip
        changed = any(result.get(key) for key in ("created", "destroyed"))
        assert not changed or result["oldState"] != result["newState"]
        assert "ifInState" not in arguments or result["oldState"] == arguments["ifInState"]
        return dict(result)

    def flag(self) -> None:
        patches = {}
        for one in self._some("Email"):
            keyword = self.chance.choice(KEYWORDS)
            patches[one] = self.chance.choice(
                [{f"keywords/{keyword}": True}, {f"keywords/{keyword}": None}, {"keywords": {keyword: True}}]
            )
        self._set("Email/set", update=patches)

    def move(self) -> None:
        patches: dict[str, Any] = {}
        for one in self._some("Email"):
            boxes = self._some("Mailbox", 2)
            patches[one] = self.chance.choice(
                [
                    {"mailboxIds": dict.fromkeys(boxes, True)},
                    {f"mailboxIds/{boxes[0]}": self.chance.choice([True, None])},
                ]
            )
        self._set("Email/set", update=patches)

    def destroy(self) -> None:
        self._set("Email/set", destroy=self._some("Email", 2))

    def draft(self) -> None:
        draft: dict[str, Any] = {"mailboxIds": {self._some("Mailbox", 1)[0]: True}, "subject": self._subject()}
        if self.chance.random() < 0.5:
            draft["keywords"] = {"$draft": True, "$seen": True}
        self._set("Email/set", create={"d": draft})

    def _subject(self) -> str:
        return self.chance.choice(["Plans", "Re: Plans", "Été", "budget", "Zebra"])

    def raw(self) -> bytes:
        """A message, perhaps of a thread that there is."""
        number = next(_numbers)
        back = f"References: <h{number - self.chance.randint(1, 6)}.{id(self.client)}@x.example>\r\n"
        return (
            f"From: A{number % 5} <a{number % 5}@x.example>\r\nSubject: {self._subject()}\r\nMessage-ID: <h{number}.{id(self.client)}@x.example>\r\n"
            f"Date: {1 + number % 28:02} Jul 2025 10:00:00 +0200\r\n{back if self.chance.random() < 0.6 else ''}\r\n{'x' * (number % 400)}\r\n"
        ).encode()  # fmt: skip

    def bring(self) -> None:
        blob = self.client.upload(self.raw(), "message/rfc822")
        box = self._some("Mailbox", 1)[0]
        self._set("Email/import", emails={"i": {"blobId": blob, "mailboxIds": {box: True}}})

    def make_mailbox(self) -> None:
        parent = self.chance.choice([None, *self._some("Mailbox", 1)])
        self._set("Mailbox/set", create={"m": {"name": f"Box {next(_numbers)}", "parentId": parent}})

    def change_mailbox(self) -> None:
        patch = self.chance.choice(
            [{"name": f"Other {next(_numbers)}"}, {"sortOrder": self.chance.randint(0, 20)}, {"parentId": None}, {"isSubscribed": False}]
        )  # fmt: skip
        self._set("Mailbox/set", update={self._some("Mailbox", 1)[0]: patch})

    def destroy_mailbox(self) -> None:
        free = [key for key, one in self.types["Mailbox"].objects.items() if one["role"] is None]
        if free:
            self._set(
                "Mailbox/set", destroy=[self.chance.choice(free)], onDestroyRemoveEmails=self.chance.random() < 0.7
            )

    def check(self) -> None:
        """Take in what is left, and compare all with the truth."""
        for cache in self.types.values():
            cache.catch_up()
        for query in self.lists:
            query.step()
        for cache in self.types.values():
            cache.check()
        for query in self.lists:
            query.check()


def play(person: JmapClient, number: int, steps: int, rounds: int = 2) -> list[Actor]:
    """Play a history; whatever its number is, the clients' calls fall together in another way each time."""
    clients = [JmapClient(person.url, person.login, person.password) for _ in range(3)]
    for _ in range(4):
        person.mail()
    actors = [Actor(client, number * 10 + at) for at, client in enumerate(clients)]
    failed: list[BaseException] = []

    def run(work: Callable[[], Any], times: int) -> None:
        try:
            for _ in range(times):
                work()
        except BaseException as error:  # noqa: BLE001 — told by the thread that waits
            failed.append(error)

    for _ in range(rounds):
        threads = [threading.Thread(target=run, args=(actor.act, steps)) for actor in actors]
        threads.append(threading.Thread(target=run, args=(lambda: person.put(actors[0].raw()), 4)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in failed:
            raise error
        for actor in actors:
            actor.check()
    for client in clients:
        client.http.close()
    return actors
