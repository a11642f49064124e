"""Filter rules as a form has them, over JMAP and on real services: they are carried out, and a hand in their script ends them (ADR 46)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import CORE, JmapClient
from tests.conformance.jmap_push import listening

FILTERS = "urn:uuid:7c0b6a54-31d5-4e0e-9f7c-6a1f4f3b9d1c"


@pytest.fixture
def person(jmap_stack: JmapServer) -> Iterator[JmapClient]:
    client = jmap_stack.newcomer()
    yield client
    client.http.close()


def asked(jmap: JmapClient, method: str, **arguments: Any) -> dict[str, Any]:
    """Make one call; its result, or its error with `type`."""
    call = [f"FilterRules/{method}", {"accountId": jmap.account, **arguments}, "c"]
    return dict(jmap.responses(call, using=(CORE, FILTERS))[0][1])


def kept(jmap: JmapClient, *rules: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    done = asked(jmap, "set", rules=list(rules), **arguments)
    assert "type" not in done, done
    return done


def rule(name: str, *actions: dict[str, Any], **condition: Any) -> dict[str, Any]:
    return {"name": name, "conditions": [condition] if condition else [], "actions": list(actions)}


def mailbox(jmap: JmapClient, name: str) -> str:
    done = jmap.call("Mailbox/set", create={"m": {"name": name}})
    return str(done["created"]["m"]["id"])


def placed(jmap: JmapClient, subject: str) -> tuple[set[str], set[str]]:
    """Send a message by SMTP; the mailboxes that it is in, and its keywords."""
    raw = f"From: Anna <anna@x.example>\r\nTo: <{jmap.login}>\r\nSubject: {subject}\r\n\r\nHello\r\n"
    found = jmap.get(jmap.put(raw.encode()), "mailboxIds", "keywords")
    return set(found["mailboxIds"]), set(found["keywords"])


def test_rules_are_carried_out_and_follow_their_mailbox(person: JmapClient) -> None:
    assert person.session["accounts"][person.account]["accountCapabilities"][FILTERS] == {"maxRules": 100}
    nothing: dict[str, Any] = {
        "state": "0",
        "rules": [],
        "scriptId": None,
        "isActive": False,
        "activeScriptId": None,
        "isChangedByHand": False,
    }
    assert asked(person, "get") == {"accountId": person.account, **nothing}
    work, copies = mailbox(person, "Work"), mailbox(person, "Copies")
    rules = [
        rule("Réunions", {"type": "fileInto", "mailboxId": work}, {"type": "markRead"}, field="subject", op="startsWith", value="[Work*]"),
        rule("all", {"type": "copyTo", "mailboxId": copies}),
    ]  # fmt: skip
    with listening(person, "SieveScript") as stream:
        done = kept(person, *rules, ifInState="0")
        told = stream.next()
        assert told is not None
        assert told.data["changed"][person.account] == {"SieveScript": done["newState"]}
    assert (done["oldState"], done["isActive"], done["activeScriptId"]) == ("0", True, done["scriptId"])
    found = asked(person, "get")
    assert found["state"] == done["newState"]
    assert [one["name"] for one in found["rules"]] == ["Réunions", "all"]
    assert asked(person, "set", rules=rules, ifInState="0")["type"] == "stateMismatch"
    # one script among the others
    (script,) = person.call("SieveScript/get")["list"]
    assert (script["id"], script["name"], script["isActive"]) == (done["scriptId"], "Filter rules", True)
    assert placed(person, "[work*] today") == ({work, copies}, {"$seen"})
    inbox = person.call("Mailbox/query", filter={"role": "inbox"})["ids"][0]
    assert placed(person, "[Works] today") == ({inbox, copies}, set())
    # by another name it is the same mailbox; what is read back is set again as it is
    person.call("Mailbox/set", update={work: {"name": "Travail"}})
    again = kept(person, *found["rules"])
    assert again["scriptId"] == done["scriptId"]
    assert asked(person, "get")["rules"] == found["rules"]
    assert placed(person, "[WORK*] tomorrow") == ({work, copies}, {"$seen"})


def test_a_hand_in_the_script_ends_the_form_until_it_is_set_anew(person: JmapClient) -> None:
    done = kept(person, rule("x", {"type": "flag"}))
    blob = person.upload(b"keep;\r\n")
    person.call("SieveScript/set", update={done["scriptId"]: {"name": "renamed"}})
    assert not asked(person, "get")["isChangedByHand"]
    person.call("SieveScript/set", update={done["scriptId"]: {"blobId": blob}})
    found = asked(person, "get")
    assert found["isChangedByHand"]
    assert [one["name"] for one in found["rules"]] == ["x"]
    refused = asked(person, "set", rules=found["rules"])
    assert (refused["type"], refused["description"]) == ("forbidden", "the script was changed by hand")
    again = kept(person, *found["rules"], replaceChangedByHand=True)
    assert (again["scriptId"], again["isChangedByHand"]) == (done["scriptId"], False)
    # who deletes the script deletes the rules
    person.call("SieveScript/set", onSuccessDeactivateScript=True)
    person.call("SieveScript/set", destroy=[done["scriptId"]])
    found = asked(person, "get")
    assert (found["rules"], found["scriptId"], found["isChangedByHand"]) == ([], None, False)


def test_a_script_of_ones_own_stays_the_active_one(person: JmapClient) -> None:
    made = person.call(
        "SieveScript/set", create={"s": {"name": "Filter rules", "blobId": person.upload(b"keep;\r\n")}},
        onSuccessActivateScript="#s",
    )["created"]["s"]["id"]  # fmt: skip
    done = kept(person, rule("x", {"type": "flag"}))
    assert (done["isActive"], done["activeScriptId"]) == (False, made)
    assert {one["name"] for one in person.call("SieveScript/get")["list"]} == {"Filter rules", "Filter rules 2"}
    assert placed(person, "hello")[1] == set()


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (rule("x", {"type": "fileInto", "mailboxId": "F999"}), "0/actions/0/mailboxId"),
        (rule("x", field="subject", op="is", value='a"\r\n;'), "0/conditions/0/value"),
        (rule("x", {"type": "forwardTo", "address": "nobody"}), "0/actions/0/address"),
        ({"name": "x", "conditions": [], "actions": [{"type": "explode"}]}, "0/actions/0/type"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(person: JmapClient, wrong: dict[str, Any], path: str) -> None:
    refused = asked(person, "set", rules=[wrong])
    assert refused["type"] == "invalidArguments"
    assert path in refused["description"]
    assert asked(person, "get")["scriptId"] is None


def test_rules_are_of_their_capability(person: JmapClient) -> None:
    call = ["FilterRules/get", {"accountId": person.account}, "c"]
    assert person.responses(call, using=(CORE,))[0][1]["type"] == "unknownMethod"
