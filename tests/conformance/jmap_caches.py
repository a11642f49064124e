"""What a client keeps of an account and brings up to date by /changes and /queryChanges alone (RFC 8620 §5.2, §5.6)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conformance.jmap_client import JmapClient

SHOWN: Final = {
    "Email": ["threadId", "mailboxIds", "keywords", "receivedAt", "size"],
    "Mailbox": ["name", "parentId", "role", "sortOrder", "isSubscribed", "totalEmails", "unreadEmails", "totalThreads", "unreadThreads"],
    "Thread": ["emailIds"],
}  # fmt: skip


class States:
    """The states of a type that somebody saw, in order: one that was left never comes back."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self.latest = ""

    def note(self, state: str) -> None:
        at = self._seen.setdefault(state, len(self._seen))
        assert at == len(self._seen) - 1, f"state {state} is back after {self.latest}"
        self.latest = state


@dataclass
class TypeCache:
    """All objects of a type."""

    client: JmapClient
    type: str
    chance: random.Random
    objects: dict[str, Any] = field(default_factory=dict)
    states: States = field(default_factory=States)

    def load(self) -> None:
        found = self.client.call(f"{self.type}/get", ids=None, properties=SHOWN[self.type])
        self.objects = {one["id"]: one for one in found["list"]}
        self.states.note(found["state"])

    def step(self) -> bool:
        """Ask once what changed, and take it in; whether there may be more."""
        most = self.chance.choice([None, 1, 2, 3, 7, 50])
        since = self.states.latest
        changes = self.client.call(f"{self.type}/changes", sinceState=since, maxChanges=most)
        lists = [changes["created"], changes["updated"], changes["destroyed"]]
        assert changes["oldState"] == since
        assert most is None or sum(map(len, lists)) <= most, changes
        assert len(set().union(*lists)) == sum(map(len, lists)), changes
        assert not set(changes["created"]) & set(self.objects), "created, but there already"
        assert changes["newState"] != since or not any(lists)
        for gone in changes["destroyed"]:
            self.objects.pop(gone, None)
        self._fetch(changes["created"], SHOWN[self.type])
        # RFC 8621 §2.2: where only counts changed, these alone are fetched
        self._fetch(changes["updated"], changes.get("updatedProperties") or SHOWN[self.type])
        self.states.note(changes["newState"])
        return bool(changes["hasMoreChanges"])

    def _fetch(self, wanted: list[str], properties: list[str]) -> None:
        if not wanted:
            return
        found = self.client.call(f"{self.type}/get", ids=wanted, properties=properties)
        for one in found["list"]:
            self.objects.setdefault(one["id"], {}).update(one)
        for gone in found["notFound"]:
            self.objects.pop(gone, None)

    def catch_up(self) -> None:
        for _ in range(2000):
            if not self.step():
                return
        raise AssertionError("there are always more changes")

    def check(self) -> None:
        """Compare with the truth; nobody may be writing."""
        truth = self.client.call(f"{self.type}/get", ids=None, properties=SHOWN[self.type])
        found = {one["id"]: one for one in truth["list"]}
        wrong = {
            key: (self.objects.get(key), found.get(key))
            for key in {*self.objects, *found}
            if self.objects.get(key) != found.get(key)
        }
        assert wrong == {}, f"{self.type}: what the cache has, and the truth: {wrong}"
        self.states.note(truth["state"])


@dataclass
class ListCache:
    """The ids of one query."""

    client: JmapClient
    type: str
    arguments: dict[str, Any]
    chance: random.Random
    ids: list[str] = field(default_factory=list)
    states: States = field(default_factory=States)
    calculable: bool = True
    answered: int = 0
    """How often changes were told, and not that there are too many."""

    def load(self) -> None:
        found = self.client.call(f"{self.type}/query", **self.arguments)
        self.ids = found["ids"]
        self.states.note(found["queryState"])
        self.calculable = found["canCalculateChanges"]

    def step(self) -> None:
        if not self.calculable:
            self.load()
            return
        most = self.chance.choice([None, None, 1, 5, 100])
        since = self.states.latest
        arguments = {**self.arguments, "sinceQueryState": since, "maxChanges": most, "calculateTotal": True}
        name, result, _ = self.client.responses(
            [f"{self.type}/queryChanges", {"accountId": self.client.account, **arguments}, "c"]
        )[0]
        if name == "error":
            assert result["type"] in {"tooManyChanges", "cannotCalculateChanges"}, result
            assert most is not None or result["type"] == "cannotCalculateChanges"
            self.load()
            return
        assert result["oldQueryState"] == since
        assert most is None or len(result["removed"]) + len(result["added"]) <= most
        removed = set(result["removed"])
        self.ids = [one for one in self.ids if one not in removed]
        for added in result["added"]:  # RFC 8620 §5.6: splice in, lowest index first
            assert added["id"] not in self.ids, (self.arguments, result)
            assert added["index"] <= len(self.ids), (self.arguments, result)
            self.ids.insert(added["index"], added["id"])
        assert len(self.ids) == result["total"], (self.arguments, result)
        self.states.note(result["newQueryState"])
        self.answered += 1

    def check(self) -> None:
        """Compare with the truth; nobody may be writing."""
        truth = self.client.call(f"{self.type}/query", calculateTotal=True, **self.arguments)
        assert self.ids == truth["ids"], self.arguments
        assert truth["total"] == len(self.ids)
        self.states.note(truth["queryState"])
