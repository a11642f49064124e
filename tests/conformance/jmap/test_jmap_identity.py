"""RFC 8621 §6 on the wire: whom a person writes as."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import CORE, MAIL, SUBMISSION, JmapClient
from tests.conformance.jmap_push import listening

PROPERTIES = {"id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete"}


def identities(jmap: JmapClient) -> dict[str, dict[str, Any]]:
    return {one["email"]: one for one in jmap.call("Identity/get", ids=None)["list"]}


def created(jmap: JmapClient, **properties: Any) -> dict[str, Any]:
    """Make an identity and return it whole."""
    done = jmap.call("Identity/set", create={"i": properties})
    assert done["notCreated"] is None, done["notCreated"]
    (found,) = jmap.call("Identity/get", ids=[done["created"]["i"]["id"]])["list"]
    return dict(found)


def refused(jmap: JmapClient, **properties: Any) -> dict[str, Any]:
    """Try to make an identity that must be refused."""
    done = jmap.call("Identity/set", create={"i": {"email": detail(jmap), **properties}})
    assert done["created"] is None
    return dict(done["notCreated"]["i"])


def detail(jmap: JmapClient, text: str = "shop") -> str:
    local, _, domain = jmap.login.partition("@")
    return f"{local}+{text}@{domain}"


def test_rfc8621_1_3_2_submission_capability(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][SUBMISSION] == {}
    found = jmap.session["accounts"][jmap.account]["accountCapabilities"][SUBMISSION]
    assert found["maxDelayedSend"] == 30 * 86_400
    assert found["submissionExtensions"]["FUTURERELEASE"][0] == str(found["maxDelayedSend"])
    assert jmap.session["primaryAccounts"][SUBMISSION] == jmap.account
    answer = jmap.responses(["Identity/get", {"accountId": jmap.account}, "c"], using=(CORE, MAIL))
    assert answer[0][1]["type"] == "unknownMethod"


def test_rfc8621_6_every_address_has_an_identity(jmap: JmapClient) -> None:
    (mine,) = identities(jmap).values()
    assert set(mine) == PROPERTIES
    assert mine["email"] == jmap.login
    assert mine["name"]
    assert mine["mayDelete"] is False
    assert (mine["replyTo"], mine["bcc"], mine["textSignature"], mine["htmlSignature"]) == (None, None, "", "")
    other = jmap.alias()
    found = identities(jmap)
    assert set(found) == {jmap.login, other}
    assert found[other]["mayDelete"] is True


def test_rfc8621_6_1_get(jmap: JmapClient) -> None:
    mine = identities(jmap)[jmap.login]["id"]
    found = jmap.call("Identity/get", ids=[mine, "I999", mine, "x"], properties=["email"])
    assert found["list"] == [{"id": mine, "email": jmap.login}]
    assert found["notFound"] == ["I999", "x"]
    assert jmap.fails("Identity/get", properties=["password"])["type"] == "invalidArguments"
    assert jmap.fails("Identity/get", ids=[f"I{number}" for number in range(501)])["type"] == "requestTooLarge"
    assert jmap.fails("Identity/get", accountId="aaaa")["type"] == "accountNotFound"


def test_rfc8621_6_2_changes(jmap: JmapClient) -> None:
    start = jmap.call("Identity/get")["state"]
    one = created(jmap, email=detail(jmap))
    between = jmap.call("Identity/get")["state"]
    found = jmap.call("Identity/changes", sinceState=start)
    assert (found["created"], found["updated"], found["destroyed"]) == ([one["id"]], [], [])
    assert (found["oldState"], found["newState"], found["hasMoreChanges"]) == (start, between, False)
    jmap.call("Identity/set", update={one["id"]: {"name": "Anna"}})
    assert jmap.call("Identity/changes", sinceState=between)["updated"] == [one["id"]]
    jmap.call("Identity/set", destroy=[one["id"]])
    assert jmap.call("Identity/changes", sinceState=between)["destroyed"] == [one["id"]]
    whole = jmap.call("Identity/changes", sinceState=start)
    assert (whole["created"], whole["updated"], whole["destroyed"]) == ([], [], [])
    for state in ("99999", "-1", "x", ""):
        assert jmap.fails("Identity/changes", sinceState=state)["type"] == "cannotCalculateChanges"
    assert jmap.fails("Identity/changes", sinceState=start, maxChanges=0)["type"] == "invalidArguments"


def test_rfc8621_6_2_changes_in_windows(jmap: JmapClient) -> None:
    state = jmap.call("Identity/get")["state"]
    made = {created(jmap, email=detail(jmap, f"x{number}"))["id"] for number in range(5)}
    seen: list[str] = []
    while True:
        found = jmap.call("Identity/changes", sinceState=state, maxChanges=2)
        assert len(found["created"]) <= 2
        seen += found["created"]
        state = found["newState"]
        if not found["hasMoreChanges"]:
            break
    assert len(seen) == 5
    assert set(seen) == made


def test_rfc8621_6_3_create_and_what_the_server_set(jmap: JmapClient) -> None:
    given: dict[str, Any] = {
        "name": "Anna, shopping", "email": detail(jmap), "replyTo": [{"name": None, "email": "a@x.example"}],
        "bcc": [{"name": "Archive", "email": "b@x.example"}], "textSignature": "-- \nAnna", "htmlSignature": "<b>Anna</b>",
    }  # fmt: skip
    done = jmap.call("Identity/set", create={"i": given})
    assert set(done["created"]["i"]) == {"id", "mayDelete"}
    assert done["oldState"] != done["newState"] == jmap.call("Identity/get")["state"]
    found = identities(jmap)[given["email"]]
    assert {name: found[name] for name in given} == given
    assert found["mayDelete"] is True
    done = jmap.call("Identity/set", create={"i": {"email": detail(jmap, "plain")}})
    assert done["created"]["i"] == {
        "id": done["created"]["i"]["id"], "name": "", "replyTo": None, "bcc": None, "textSignature": "",
        "htmlSignature": "", "mayDelete": True,
    }  # fmt: skip


def test_rfc8621_6_3_forbidden_from(jmap: JmapClient, jmap_other: JmapClient) -> None:
    domain = jmap.login.partition("@")[2]
    for email in (jmap_other.login, "anna@x.example", f"nobody.at.all@{domain}", f"postmaster@{domain}", f"*@{domain}"):
        assert refused(jmap, email=email)["type"] == "forbiddenFrom"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"email": None}, {"email"}), ({"email": ""}, {"email"}), ({"email": "no address"}, {"email"}), ({"email": 7}, {"email"}),
        ({"name": 7}, {"name"}), ({"name": "two\r\nBcc: lines@x.example"}, {"name"}), ({"name": "x" * 201}, {"name"}),
        ({"replyTo": {"email": "a@x.example"}}, {"replyTo"}), ({"replyTo": [{"name": "A"}]}, {"replyTo"}),
        ({"replyTo": [{"email": "no address"}]}, {"replyTo"}), ({"bcc": [{"email": "a@x.example", "x": 1}]}, {"bcc"}),
        ({"bcc": [{"email": "a@x.example"}] * 51}, {"bcc"}), ({"bcc": [{"name": 3, "email": "a@x.example"}]}, {"bcc"}),
        ({"textSignature": 1}, {"textSignature"}), ({"htmlSignature": []}, {"htmlSignature"}),
        ({"textSignature": "a\u0000b"}, {"textSignature"}), ({"mayDelete": True}, {"mayDelete"}), ({"id": "I1"}, {"id"}),
        ({"signature": "x"}, {"signature"}), ({"name": 1, "bcc": 2}, {"name", "bcc"}),
    ],
)  # fmt: skip
def test_rfc8620_5_3_invalid_properties_of_identities(jmap: JmapClient, given: dict[str, Any], names: set[str]) -> None:
    error = refused(jmap, **given)
    assert error["type"] == "invalidProperties"
    assert set(error["properties"]) == names


def test_rfc8620_5_3_identities_are_bounded(jmap: JmapClient) -> None:
    assert refused(jmap, textSignature="x" * (16 << 10) + "y")["type"] == "tooLarge"
    assert refused(jmap, htmlSignature="x" * (64 << 10) + "y")["type"] == "tooLarge"
    many = {f"c{number}": {"email": detail(jmap, f"x{number}")} for number in range(100)}
    done = jmap.call("Identity/set", create=many)
    assert len(done["created"]) == 99
    assert [error["type"] for error in done["notCreated"].values()] == ["overQuota"]
    too_many = {f"c{number}": {"email": jmap.login} for number in range(501)}
    assert jmap.fails("Identity/set", create=too_many)["type"] == "requestTooLarge"


def test_rfc8621_6_3_update(jmap: JmapClient) -> None:
    mine = identities(jmap)[jmap.login]
    patch = {"name": "New", "textSignature": "Yours", "replyTo": [{"email": "a@x.example"}], "email": jmap.login}
    done = jmap.call("Identity/set", update={mine["id"]: patch})
    assert done["updated"] == {mine["id"]: {"replyTo": [{"name": None, "email": "a@x.example"}]}}
    found = identities(jmap)[jmap.login]
    assert (found["name"], found["textSignature"]) == ("New", "Yours")
    done = jmap.call("Identity/set", update={mine["id"]: {"replyTo": None, "textSignature": None}})
    assert done["notUpdated"] is None
    found = identities(jmap)[jmap.login]
    assert (found["replyTo"], found["textSignature"], found["name"]) == (None, "", "New")
    same = jmap.call("Identity/set", update={mine["id"]: {"name": "New"}})
    assert same["oldState"] == same["newState"]


def test_rfc8620_5_3_patches_of_identities_that_cannot_be(jmap: JmapClient) -> None:
    mine = identities(jmap)[jmap.login]["id"]
    for patch, kind in (
        ({"replyTo/0": {}}, "invalidPatch"), ({"name/x": "y"}, "invalidPatch"), ({"email": detail(jmap)}, "invalidProperties"),
        ({"mayDelete": True}, "invalidProperties"), ({"nothing": 1}, "invalidProperties"), ({"bcc": "x"}, "invalidProperties"),
    ):  # fmt: skip
        done = jmap.call("Identity/set", update={mine: patch})
        assert done["notUpdated"][mine]["type"] == kind, patch
        assert done["updated"] is None
    done = jmap.call("Identity/set", update={"I999": {"name": "x"}, "x": {}})
    assert {error["type"] for error in done["notUpdated"].values()} == {"notFound"}


def test_rfc8621_6_3_destroy(jmap: JmapClient) -> None:
    mine, other = identities(jmap)[jmap.login]["id"], created(jmap, email=detail(jmap))["id"]
    done = jmap.call("Identity/set", update={other: {"name": "x"}}, destroy=[mine, other, "I999"])
    assert done["destroyed"] == [other]
    assert done["notDestroyed"][mine]["type"] == "forbidden"
    assert done["notDestroyed"]["I999"]["type"] == "notFound"
    assert done["notUpdated"][other]["type"] == "willDestroy"
    assert jmap.call("Identity/get", ids=[other])["notFound"] == [other]


def test_rfc8620_5_3_creation_ids_of_identities(jmap: JmapClient) -> None:
    first, second = jmap.responses(
        ["Identity/set", {"accountId": jmap.account, "create": {"i": {"email": detail(jmap)}},
                          "update": {"#i": {"name": "Anna"}}}, "a"],
        ["Identity/get", {"accountId": jmap.account, "ids": ["#i"]}, "b"],
    )  # fmt: skip
    made = first[1]["created"]["i"]["id"]
    assert first[1]["updated"] == {made: None}
    assert second[1]["list"][0]["id"] == made
    assert second[1]["list"][0]["name"] == "Anna"


def test_rfc8620_5_3_if_in_state_of_identities(jmap: JmapClient) -> None:
    state = jmap.call("Identity/get")["state"]
    mine = identities(jmap)[jmap.login]["id"]
    jmap.call("Identity/set", ifInState=state, update={mine: {"name": "One"}})
    for stale in (state, "x"):
        error = jmap.fails("Identity/set", ifInState=stale, update={mine: {"name": "Two"}})
        assert error["type"] == "stateMismatch"
    assert identities(jmap)[jmap.login]["name"] == "One"


def test_rfc8621_6_identities_of_others_are_out_of_reach(jmap: JmapClient, jmap_other: JmapClient) -> None:
    for method in ("Identity/get", "Identity/changes", "Identity/set"):
        extra = {"sinceState": "0"} if method == "Identity/changes" else {}
        assert jmap.fails(method, accountId=jmap_other.account, **extra)["type"] == "accountNotFound"


def test_rfc8620_7_1_changes_of_identities_are_pushed(jmap: JmapClient) -> None:
    mine = identities(jmap)[jmap.login]["id"]
    with listening(jmap, "Identity,Email") as stream:
        done = jmap.call("Identity/set", update={mine: {"textSignature": "Yours"}})
        found = stream.next()
        assert found is not None
        assert found.data["changed"][jmap.account] == {"Identity": done["newState"]}
        jmap.call("Identity/set", update={mine: {"textSignature": "Truly"}})
        last = stream.next()
        assert last is not None
    with listening(jmap, "Identity", last_event_id=str(found.id)) as stream:
        again = stream.next()
        assert again is not None
        assert again.data["changed"] == last.data["changed"]
