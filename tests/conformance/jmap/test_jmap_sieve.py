"""RFC 9661 on the wire: the scripts of a mailbox."""

from __future__ import annotations

from typing import Any

from tests.conformance.jmap_client import CORE, MAIL, SIEVE, JmapClient
from tests.conformance.jmap_push import listening

FILING = b'require "fileinto";\r\nfileinto "Archive";\r\n'
KEEPING = b"keep;\r\n"


def made(jmap: JmapClient, name: str = "mine", content: bytes = FILING, **arguments: Any) -> dict[str, Any]:
    """Make a script and return what the server set."""
    done = jmap.call("SieveScript/set", create={"s": {"name": name, "blobId": jmap.upload(content)}}, **arguments)
    assert done["notCreated"] is None, done["notCreated"]
    return dict(done["created"]["s"])


def refused(jmap: JmapClient, content: bytes = FILING, **properties: Any) -> dict[str, Any]:
    """Try to make a script that must be refused."""
    given = {"name": "refused", "blobId": jmap.upload(content), **properties}
    done = jmap.call("SieveScript/set", create={"s": given})
    assert done["created"] is None
    return dict(done["notCreated"]["s"])


def scripts(jmap: JmapClient) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in jmap.call("SieveScript/get", ids=None)["list"]}


def test_rfc9661_1_2_1_capability(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][SIEVE] == {"implementation": "Petit Bleu"}
    found = jmap.session["accounts"][jmap.account]["accountCapabilities"][SIEVE]
    assert found["maxSizeScriptName"] >= 512
    assert found["maxSizeScript"] == 131_072
    assert found["maxNumberScripts"] == 32
    assert found["maxNumberRedirects"] == 4
    assert {"fileinto", "vacation", "imap4flags", "body", "editheader"} <= set(found["sieveExtensions"])
    assert (found["notificationMethods"], found["externalLists"]) == (["mailto"], ["urn"])
    assert "extlists" in found["sieveExtensions"]
    assert jmap.session["primaryAccounts"][SIEVE] == jmap.account
    answer = jmap.responses(["SieveScript/get", {"accountId": jmap.account}, "c"], using=(CORE, MAIL))
    assert answer[0][1]["type"] == "unknownMethod"


def test_rfc9661_2_3_get(jmap: JmapClient) -> None:
    assert jmap.call("SieveScript/get")["list"] == []
    one = made(jmap)
    found = jmap.call("SieveScript/get", ids=[one["id"], "S999", one["id"], "x"])
    assert found["list"] == [{"id": one["id"], "name": "mine", "blobId": one["blobId"], "isActive": False}]
    assert found["notFound"] == ["S999", "x"]
    assert jmap.call("SieveScript/get", properties=["name"])["list"] == [{"id": one["id"], "name": "mine"}]
    assert jmap.fails("SieveScript/get", properties=["content"])["type"] == "invalidArguments"


def test_rfc9661_2_the_content_is_a_blob_that_never_changes(jmap: JmapClient) -> None:
    one = made(jmap)
    assert jmap.download(one["blobId"]).content == FILING
    (blob,) = jmap.call("Blob/get", ids=[one["blobId"]], properties=["data:asText", "size"])["list"]
    assert (blob["data:asText"], blob["size"]) == (FILING.decode(), len(FILING))
    done = jmap.call("SieveScript/set", update={one["id"]: {"blobId": jmap.upload(KEEPING)}})
    other = done["updated"][one["id"]]["blobId"]
    assert other != one["blobId"]
    assert jmap.download(other).content == KEEPING
    assert jmap.download(one["blobId"]).status_code == 404
    # a script may be made of another's content
    copy = made(jmap, "copy", KEEPING)
    again = jmap.call("SieveScript/set", create={"s": {"blobId": copy["blobId"]}})["created"]["s"]
    assert jmap.download(again["blobId"]).content == KEEPING
    assert again["name"]


def test_rfc9661_2_4_set_refuses(jmap: JmapClient) -> None:
    error = refused(jmap, b'keep;\r\nfileinto "x";\r\n')
    assert error["type"] == "invalidSieve"
    assert "line 2" in error["description"]
    assert refused(jmap, b'require "extlists"; redirect :list ":addrbook:default";\r\n')["type"] == "invalidSieve"
    assert refused(jmap, b"\xff\xfe;")["type"] == "invalidSieve"
    assert refused(jmap, b"#" * 131_073)["type"] == "tooLarge"
    assert refused(jmap, name="")["type"] == "invalidProperties"
    assert refused(jmap, name="a\u2028b")["properties"] == ["name"]
    assert refused(jmap, name="n" * 513)["properties"] == ["name"]
    assert refused(jmap, isActive=True)["properties"] == ["isActive"]
    assert refused(jmap, size=3)["properties"] == ["size"]
    assert refused(jmap, blobId="U999")["type"] == "blobNotFound"
    one = made(jmap)
    error = refused(jmap, name="mine")
    assert (error["type"], error["existingId"]) == ("alreadyExists", one["id"])
    done = jmap.call("SieveScript/set", update={"S999": {"name": "x"}}, destroy=["S998"])
    assert done["notUpdated"]["S999"]["type"] == done["notDestroyed"]["S998"]["type"] == "notFound"
    assert scripts(jmap).keys() == {"mine"}


def test_rfc9661_2_4_one_of_very_many_scripts_is_refused(jmap: JmapClient) -> None:
    blob = jmap.upload(KEEPING)
    done = jmap.call("SieveScript/set", create={f"s{at}": {"name": f"n{at}", "blobId": blob} for at in range(33)})
    assert len(done["created"]) == 32
    assert done["notCreated"]["s32"]["type"] == "overQuota"


def test_rfc9661_2_4_states(jmap: JmapClient) -> None:
    start = jmap.call("SieveScript/get")["state"]
    done = jmap.call("SieveScript/set", ifInState=start, create={"s": {"name": "a", "blobId": jmap.upload(KEEPING)}})
    assert (done["oldState"], done["newState"]) == (start, jmap.call("SieveScript/get")["state"])
    assert done["newState"] != start
    assert jmap.fails("SieveScript/set", ifInState=start)["type"] == "stateMismatch"


def test_rfc9661_2_4_activation(jmap: JmapClient) -> None:
    blob = jmap.upload(KEEPING)
    done = jmap.call(
        "SieveScript/set", create={"a": {"name": "a", "blobId": blob}, "b": {"name": "b", "blobId": blob}},
        onSuccessActivateScript="#a",
    )  # fmt: skip
    a, b = done["created"]["a"]["id"], done["created"]["b"]["id"]
    assert done["created"]["a"]["isActive"] is True
    assert {name: one["isActive"] for name, one in scripts(jmap).items()} == {"a": True, "b": False}
    # the change of one that the client did not name is told
    done = jmap.call("SieveScript/set", onSuccessActivateScript=b)
    assert done["updated"] == {a: {"isActive": False}, b: {"isActive": True}}
    # one that is not there is ignored
    assert jmap.call("SieveScript/set", onSuccessActivateScript="S999")["updated"] is None
    assert scripts(jmap)["b"]["isActive"] is True
    # nothing is switched when anything was refused
    done = jmap.call("SieveScript/set", destroy=["S999"], onSuccessActivateScript=a)
    assert done["updated"] is None
    done = jmap.call("SieveScript/set", destroy=[b], onSuccessDeactivateScript=True)
    assert done["notDestroyed"][b]["type"] == "sieveIsActive"
    assert scripts(jmap)["b"]["isActive"] is True
    done = jmap.call("SieveScript/set", onSuccessDeactivateScript=True)
    assert done["updated"] == {b: {"isActive": False}}
    assert jmap.call("SieveScript/set", destroy=[a, b])["destroyed"] == [a, b]
    assert scripts(jmap) == {}


def test_rfc9661_2_5_query(jmap: JmapClient) -> None:
    blob = jmap.upload(KEEPING)
    done = jmap.call(
        "SieveScript/set", create={name: {"name": name, "blobId": blob} for name in ("Beta", "alpha", "other")},
        onSuccessActivateScript="#other",
    )  # fmt: skip
    known = {name: one["id"] for name, one in done["created"].items()}

    def found(**arguments: Any) -> list[str]:
        ids = jmap.call("SieveScript/query", **arguments)["ids"]
        return [next(name for name, text in known.items() if text == one) for one in ids]

    assert found(sort=[{"property": "name"}]) == ["alpha", "Beta", "other"]
    assert found(sort=[{"property": "isActive", "isAscending": False}, {"property": "name"}])[0] == "other"
    assert found(filter={"name": "ET"}) == ["Beta"]
    assert found(filter={"isActive": True}) == ["other"]
    assert set(found(filter={"operator": "NOT", "conditions": [{"isActive": True}]})) == {"Beta", "alpha"}
    assert jmap.call("SieveScript/query", limit=1, calculateTotal=True)["total"] == 3
    assert jmap.fails("SieveScript/query", filter={"size": 1})["type"] == "invalidArguments"
    assert jmap.fails("SieveScript/query", sort=[{"property": "blobId"}])["type"] == "unsupportedSort"


def test_rfc9661_2_6_validate(jmap: JmapClient) -> None:
    assert jmap.call("SieveScript/validate", blobId=jmap.upload(FILING))["error"] is None
    error = jmap.call("SieveScript/validate", blobId=jmap.upload(b"nonsense;"))["error"]
    assert (error["type"], "line 1" in error["description"]) == ("invalidSieve", True)
    assert jmap.call("SieveScript/validate", blobId="U999")["error"]["type"] == "blobNotFound"
    assert jmap.call("SieveScript/get")["list"] == []


def test_scripts_are_their_owners_alone(jmap: JmapClient, jmap_other: JmapClient) -> None:
    one = made(jmap)
    assert jmap_other.call("SieveScript/get", ids=[one["id"]])["notFound"] == [one["id"]]
    assert jmap_other.fails("SieveScript/get", accountId=jmap.account)["type"] == "accountNotFound"
    assert jmap_other.download(one["blobId"]).status_code == 404


def test_rfc8620_7_1_changes_of_scripts_are_pushed(jmap: JmapClient) -> None:
    with listening(jmap, "SieveScript,VacationResponse") as stream:
        one = made(jmap)
        for arguments in ({"onSuccessActivateScript": one["id"]}, {"update": {one["id"]: {"name": "other"}}}):
            state = jmap.call("SieveScript/get", ids=[])["state"]
            found = stream.next()
            assert found is not None
            assert found.data["changed"][jmap.account] == {"SieveScript": state}
            jmap.call("SieveScript/set", **arguments)
        assert stream.next() is not None
