"""RFC 8621 §2.5: Mailbox/set, by the rules of RFC 8620 §5.3."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.jmap_client import MAIL, JmapClient

COUNTS = {"totalEmails": 0, "unreadEmails": 0, "totalThreads": 0, "unreadThreads": 0}
TAKEN = {"type": "alreadyExists", "description": "another mailbox there has this name"}
ROLES = ("inbox", "drafts", "sent", "trash", "junk", "archive")


def created(jmap: JmapClient, **properties: Any) -> str:
    """Make a mailbox and return its id."""
    result = jmap.call("Mailbox/set", create={"k": properties})
    assert result["notCreated"] is None, result["notCreated"]
    return str(result["created"]["k"]["id"])


def refused(jmap: JmapClient, **properties: Any) -> dict[str, Any]:
    """Try to make a mailbox, and return why it is not."""
    result = jmap.call("Mailbox/set", create={"k": properties})
    assert result["created"] is None, result["created"]
    assert result["oldState"] == result["newState"]
    found: dict[str, Any] = result["notCreated"]["k"]
    return found


def unchanged(jmap: JmapClient, mailbox: str, patch: dict[str, Any]) -> dict[str, Any]:
    """Try to change a mailbox, and return why it is not."""
    result = jmap.call("Mailbox/set", update={mailbox: patch})
    assert result["updated"] is None, result["updated"]
    assert result["oldState"] == result["newState"]
    found: dict[str, Any] = result["notUpdated"][mailbox]
    return found


def shown(jmap: JmapClient, mailbox: str) -> dict[str, Any]:
    found = jmap.call("Mailbox/get", ids=[mailbox])
    assert found["notFound"] == []
    one: dict[str, Any] = found["list"][0]
    return one


def is_invalid(error: dict[str, Any], *properties: str) -> bool:
    return error["type"] == "invalidProperties" and sorted(error["properties"]) == sorted(properties)


def test_rfc8620_5_3_created_tells_what_was_not_sent(jmap: JmapClient) -> None:
    before = jmap.call("Mailbox/get", ids=[])["state"]
    result = jmap.call("Mailbox/set", create={"k": {"name": "Projects"}})
    assert set(result) == {
        "accountId", "oldState", "newState", "created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed",
    }  # fmt: skip
    assert result["oldState"] == before != result["newState"]
    assert [result[name] for name in ("updated", "destroyed", "notCreated", "notUpdated", "notDestroyed")] == [None] * 5
    made = result["created"]["k"]
    assert set(made) == {"id", "parentId", "role", "sortOrder", "isSubscribed", "myRights", *COUNTS}
    assert shown(jmap, made["id"]) == {"name": "Projects", **made}
    assert made.items() >= {"parentId": None, "role": None, "sortOrder": 0, "isSubscribed": True, **COUNTS}.items()
    assert jmap.call("Mailbox/get", ids=[])["state"] == result["newState"]


def test_rfc8620_5_3_what_was_sent_is_not_told_again(jmap: JmapClient) -> None:
    parent = created(jmap, name="Parent")
    sent = {"name": "All", "parentId": parent, "role": "all", "sortOrder": (1 << 31) - 1, "isSubscribed": False}
    made = jmap.call("Mailbox/set", create={"k": sent})["created"]["k"]
    assert set(made) == {"id", "myRights", *COUNTS}
    assert shown(jmap, made["id"]) == {**sent, **made}


def test_rfc8620_5_3_update_changes_what_it_names(jmap: JmapClient) -> None:
    parent, one = created(jmap, name="Parent"), created(jmap, name="One", sortOrder=4)
    result = jmap.call("Mailbox/set", update={one: {"name": "Two", "parentId": parent, "isSubscribed": False}})
    assert result["updated"] == {one: None}
    assert (
        shown(jmap, one).items() >= {"name": "Two", "parentId": parent, "isSubscribed": False, "sortOrder": 4}.items()
    )
    assert jmap.call("Mailbox/set", update={one: {"parentId": None, "sortOrder": None, "isSubscribed": None}})[
        "updated"
    ]
    assert shown(jmap, one).items() >= {"parentId": None, "isSubscribed": True, "sortOrder": 0}.items()


def test_rfc8620_5_3_a_whole_object_is_a_patch(jmap: JmapClient) -> None:
    for mailbox in (created(jmap, name="One"), jmap.mailbox("inbox")):
        whole = shown(jmap, mailbox)
        result = jmap.call("Mailbox/set", update={mailbox: whole})
        assert result["updated"] == {mailbox: None}
        assert result["oldState"] == result["newState"], "nothing has changed"
        assert jmap.call("Mailbox/set", update={mailbox: {**whole, "sortOrder": 77}})["updated"] == {mailbox: None}
        assert shown(jmap, mailbox) == {**whole, "sortOrder": 77}


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", "F1"), ("totalEmails", 7), ("unreadThreads", "0"), ("myRights", {"mayRename": False}), ("colour", "red"), ("totalEmails", None)],
)  # fmt: skip
def test_rfc8620_5_3_what_the_server_sets_is_not_set(jmap: JmapClient, name: str, value: Any) -> None:
    assert is_invalid(refused(jmap, name="x", **{name: value}), name)
    assert is_invalid(unchanged(jmap, created(jmap, name="y"), {name: value}), name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("name", ["", "  ", None, 1, [], "a\nb", "a\u0000", "\u2028", "x" * 256, "é" * 128]),
        ("parentId", ["F999999", "M1", "", "#nobody", 1, True, ["F1"]]),
        ("role", ["", "Inbox", "inbox", "sent", "nothing", "subscribed", 1, "archive"]),
        ("sortOrder", [-1, 1 << 31, "1", 1.5, True]),
        ("isSubscribed", [1, "true", []]),
    ],
)
def test_rfc8621_2_values_that_a_property_may_not_have(jmap: JmapClient, name: str, values: list[Any]) -> None:
    one = created(jmap, name="one")
    for value in values:
        assert is_invalid(refused(jmap, **{"name": "other", name: value}), name), value
        assert is_invalid(unchanged(jmap, one, {name: value}), name), value
    assert shown(jmap, one)["name"] == "one"


def test_rfc8620_5_3_all_invalid_properties_are_named(jmap: JmapClient) -> None:
    wrong = {"name": "", "parentId": "F999999", "role": "none", "sortOrder": -1, "isSubscribed": 0, "size": 1}
    assert is_invalid(refused(jmap, **wrong), *wrong)
    assert is_invalid(unchanged(jmap, created(jmap, name="x"), wrong), *wrong)
    created(jmap, name="taken", role="important")
    assert is_invalid(refused(jmap, name="taken", role="important"), "name", "role")
    assert is_invalid(refused(jmap), "name")


def test_rfc8621_2_names_are_net_unicode(jmap: JmapClient) -> None:
    result = jmap.call("Mailbox/set", create={"k": {"name": "Cafe\u0301"}})
    one = result["created"]["k"]["id"]
    assert result["created"]["k"]["name"] == "Caf\u00e9"
    assert jmap.call("Mailbox/set", update={one: {"name": "The\u0301"}})["updated"] == {one: {"name": "Th\u00e9"}}
    assert refused(jmap, name="Th\u00e9") == {**TAKEN, "existingId": one}
    for name in ("a/b", "x" * 255, "é" * 127, "日本語", "#x", ".", "🙂"):
        created(jmap, name=name)


def test_rfc8621_2_siblings_have_different_names(jmap: JmapClient) -> None:
    one, other = created(jmap, name="One"), created(jmap, name="Other")
    below = created(jmap, name="One", parentId=one)
    assert created(jmap, name="one")
    assert refused(jmap, name="One") == {**TAKEN, "existingId": one}
    assert is_invalid(unchanged(jmap, other, {"name": "One"}), "name")
    assert is_invalid(unchanged(jmap, below, {"parentId": None}), "parentId")
    assert refused(jmap, name="INBOX") == {
        **TAKEN,
        "existingId": jmap.mailbox("inbox"),
    }  # RFC 9051 §5.1, whatever it is called


def test_rfc8621_2_a_creation_is_told_which_sibling_has_its_name(jmap: JmapClient) -> None:
    result = jmap.call(
        "Mailbox/set",
        create={"a": {"name": "One"}, "b": {"name": "One"}, "c": {"name": "In", "parentId": "#a"}, "d": {"name": "In"}},
    )
    made = {name: one["id"] for name, one in result["created"].items()}
    assert result["notCreated"] == {"b": {**TAKEN, "existingId": made["a"]}}
    assert refused(jmap, name="In", parentId=made["a"]) == {**TAKEN, "existingId": made["c"]}


def test_rfc8620_5_3_two_may_exchange_their_names(jmap: JmapClient) -> None:
    one, other = created(jmap, name="A"), created(jmap, name="B", role="important")
    result = jmap.call(
        "Mailbox/set", update={one: {"name": "B", "role": "important"}, other: {"name": "A", "role": None}},
        create={"no": {"name": "INBOX"}},
    )  # fmt: skip
    assert result["updated"] == {one: None, other: None}
    assert result["notCreated"]["no"] == {**TAKEN, "existingId": jmap.mailbox("inbox")}
    assert [shown(jmap, mailbox)["name"] for mailbox in (one, other)] == ["B", "A"]


def test_rfc8620_5_3_a_name_is_free_once_who_has_it_goes(jmap: JmapClient) -> None:
    one = created(jmap, name="A")
    result = jmap.call("Mailbox/set", create={"k": {"name": "A"}}, destroy=[one])
    assert result["destroyed"] == [one]
    assert result["created"]["k"]["id"] != one


def test_rfc8621_2_one_mailbox_has_a_role(jmap: JmapClient) -> None:
    one = created(jmap, name="Starred", role="flagged")
    assert is_invalid(refused(jmap, name="x", role="flagged"), "role")
    assert jmap.call("Mailbox/set", update={one: {"role": None}})["updated"] == {one: None}
    other = created(jmap, name="x", role="flagged")
    assert is_invalid(unchanged(jmap, one, {"role": "flagged"}), "role")
    assert shown(jmap, other)["role"] == "flagged"


def test_rfc8621_2_there_is_no_loop(jmap: JmapClient) -> None:
    top = created(jmap, name="top")
    middle = created(jmap, name="middle", parentId=top)
    leaf = created(jmap, name="leaf", parentId=middle)
    for parent in (top, middle, leaf):
        assert is_invalid(unchanged(jmap, top, {"parentId": parent}), "parentId")
    result = jmap.call(
        "Mailbox/set", create={"a": {"name": "a", "parentId": "#b"}, "b": {"name": "b", "parentId": "#a"}}
    )
    assert all(is_invalid(error, "parentId") for error in result["notCreated"].values())
    # Upside down in one call: what is left is right though no single step is.
    result = jmap.call("Mailbox/set", update={top: {"parentId": leaf}, middle: {"parentId": None}})
    assert result["updated"] == {top: None, middle: None}


def test_rfc8621_1_3_1_hierarchies_are_as_deep_as_said(jmap: JmapClient) -> None:
    deepest = jmap.session["accounts"][jmap.account]["accountCapabilities"][MAIL]["maxMailboxDepth"]
    chain = {f"k{level}": {"name": "x", "parentId": f"#k{level - 1}" if level else None} for level in range(deepest)}
    made = jmap.call("Mailbox/set", create=chain)["created"]
    assert [made[f"k{level}"]["myRights"]["mayCreateChild"] for level in range(deepest)] == [
        *[True] * (deepest - 1),
        False,
    ]
    last = made[f"k{deepest - 1}"]["id"]
    assert not shown(jmap, last)["myRights"]["mayCreateChild"]
    assert is_invalid(refused(jmap, name="deeper", parentId=last), "parentId")
    assert is_invalid(unchanged(jmap, made["k0"]["id"], {"parentId": jmap.mailbox("trash")}), "parentId")


def test_rfc8620_5_3_creation_ids_may_be_used_before_they_are_made(jmap: JmapClient) -> None:
    result = jmap.call(
        "Mailbox/set",
        create={"leaf": {"name": "leaf", "parentId": "#mid"}, "mid": {"name": "mid", "parentId": "#top"}, "top": {"name": "top"}},
        update={"#leaf": {"sortOrder": 9}, jmap.mailbox("archive"): {"parentId": "#top"}},
    )  # fmt: skip
    assert result["notCreated"] is None
    assert result["notUpdated"] is None
    made = {name: one["id"] for name, one in result["created"].items()}
    assert set(result["updated"]) == {made["leaf"], jmap.mailbox("archive")}
    assert (shown(jmap, made["leaf"])["parentId"], shown(jmap, made["leaf"])["sortOrder"]) == (made["mid"], 9)
    assert shown(jmap, made["mid"])["parentId"] == shown(jmap, jmap.mailbox("archive"))["parentId"] == made["top"]


def test_rfc8620_5_3_creation_ids_serve_later_calls(jmap: JmapClient) -> None:
    account = {"accountId": jmap.account}
    answer = jmap.run(
        ["Mailbox/set", {**account, "create": {"box": {"name": "box"}}}, "a"],
        ["Mailbox/set", {**account, "create": {"below": {"name": "below", "parentId": "#box"}}, "update": {"#box": {"name": "renamed"}}}, "b"],
        ["Email/set", {**account, "create": {"mail": {"mailboxIds": {"#below": True}, "subject": "x"}}}, "c"],
        ["Mailbox/get", {**account, "ids": ["#box", "#below"], "properties": ["name", "totalEmails"]}, "d"],
        createdIds={},
    )  # fmt: skip
    made = answer["createdIds"]
    assert set(made) == {"box", "below", "mail"}
    assert answer["methodResponses"][1][1]["updated"] == {made["box"]: None}
    assert answer["methodResponses"][3][1]["list"] == [
        {"id": made["box"], "name": "renamed", "totalEmails": 0}, {"id": made["below"], "name": "below", "totalEmails": 1},
    ]  # fmt: skip


def test_rfc8620_5_3_what_names_a_failed_creation_fails(jmap: JmapClient) -> None:
    result = jmap.call(
        "Mailbox/set", create={"bad": {"name": ""}, "below": {"name": "x", "parentId": "#bad"}, "lower": {"name": "y", "parentId": "#below"}},
        update={"#bad": {"sortOrder": 1}, jmap.mailbox("archive"): {"parentId": "#bad"}}, destroy=["#bad"],
    )  # fmt: skip
    assert is_invalid(result["notCreated"]["bad"], "name")
    assert is_invalid(result["notCreated"]["below"], "parentId")
    assert is_invalid(result["notCreated"]["lower"], "parentId")
    assert result["notUpdated"]["#bad"]["type"] == "notFound"
    assert is_invalid(result["notUpdated"][jmap.mailbox("archive")], "parentId")
    assert result["notDestroyed"]["#bad"]["type"] == "notFound"
    # The same when only store can know that it fails.
    result = jmap.call("Mailbox/set", create={"bad": {"name": "Inbox"}, "below": {"name": "x", "parentId": "#bad"}})
    assert result["notCreated"]["bad"] == {**TAKEN, "existingId": jmap.mailbox("inbox")}
    assert is_invalid(result["notCreated"]["below"], "parentId")


@pytest.mark.parametrize("role", ROLES)
def test_rfc8621_2_5_standard_mailboxes_stay(jmap: JmapClient, role: str) -> None:
    mailbox = jmap.mailbox(role)
    result = jmap.call("Mailbox/set", destroy=[mailbox], onDestroyRemoveEmails=True)
    assert result["notDestroyed"][mailbox]["type"] == "forbidden"
    assert unchanged(jmap, mailbox, {"role": None})["type"] == "forbidden"
    rights = shown(jmap, mailbox)["myRights"]
    assert not rights["mayDelete"]
    result = jmap.call("Mailbox/set", update={mailbox: {"name": f"My {role}"}})
    assert rights["mayRename"] is (role != "inbox")
    assert (result["updated"] is not None) is rights["mayRename"]
    if role == "inbox":
        assert result["notUpdated"][mailbox]["type"] == "forbidden"
        assert unchanged(jmap, mailbox, {"parentId": jmap.mailbox("trash")})["type"] == "forbidden"
    child = created(jmap, name="child", parentId=mailbox)
    assert (
        shown(jmap, child)["myRights"].items() >= {"mayDelete": True, "mayRename": True, "mayCreateChild": True}.items()
    )


def test_rfc8621_2_5_mailbox_has_child(jmap: JmapClient) -> None:
    top = created(jmap, name="top")
    leaf = created(jmap, name="leaf", parentId=top)
    result = jmap.call("Mailbox/set", destroy=[top], onDestroyRemoveEmails=True)
    assert result["notDestroyed"][top]["type"] == "mailboxHasChild"
    result = jmap.call("Mailbox/set", create={"k": {"name": "x", "parentId": top}}, destroy=[top, leaf])
    assert result["notDestroyed"] == {top: {"type": "mailboxHasChild"}}
    assert result["destroyed"] == [leaf]
    result = jmap.call("Mailbox/set", destroy=[top, result["created"]["k"]["id"]])
    assert result["notDestroyed"] is None
    assert jmap.call("Mailbox/get", ids=[top, leaf])["notFound"] == [top, leaf]


def test_rfc8621_2_5_mailbox_has_email(jmap: JmapClient) -> None:
    one, inbox = created(jmap, name="one"), jmap.mailbox("inbox")
    both, only = jmap.mail(), jmap.mail()
    jmap.call("Email/set", update={both: {f"mailboxIds/{one}": True}, only: {"mailboxIds": {one: True}}})
    result = jmap.call("Mailbox/set", destroy=[one])
    assert result["notDestroyed"][one]["type"] == "mailboxHasEmail"
    assert jmap.call("Mailbox/set", destroy=[one], onDestroyRemoveEmails=False)["destroyed"] is None
    assert shown(jmap, one)["totalEmails"] == 2
    state = jmap.call("Email/get", ids=[])["state"]
    result = jmap.call("Mailbox/set", destroy=[one], onDestroyRemoveEmails=True)
    assert result["destroyed"] == [one]
    assert jmap.get(both, "mailboxIds")["mailboxIds"] == {inbox: True}
    assert jmap.call("Email/get", ids=[only])["notFound"] == [only]
    changes = jmap.call("Email/changes", sinceState=state)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [both], [only])
    assert changes["newState"] == result["newState"]


def test_rfc8620_5_3_not_found(jmap: JmapClient) -> None:
    gone = created(jmap, name="gone")
    jmap.call("Mailbox/set", destroy=[gone])
    wrong = [gone, "F999999", "M1", "nothing", "#none", ""]
    result = jmap.call("Mailbox/set", update={one: {"name": "x"} for one in wrong}, destroy=wrong)
    assert {one: error["type"] for one, error in result["notUpdated"].items()} == dict.fromkeys(wrong, "notFound")
    assert {one: error["type"] for one, error in result["notDestroyed"].items()} == dict.fromkeys(wrong, "notFound")


def test_rfc8620_5_3_will_destroy(jmap: JmapClient) -> None:
    one = created(jmap, name="one")
    result = jmap.call("Mailbox/set", update={one: {"name": "x"}}, destroy=[one, one])
    assert result["notUpdated"][one]["type"] == "willDestroy"
    assert result["destroyed"] == [one]


def test_rfc8620_5_3_created_and_destroyed_at_once(jmap: JmapClient) -> None:
    result = jmap.call("Mailbox/set", create={"k": {"name": "k"}}, update={"#k": {"name": "x"}}, destroy=["#k"])
    assert result["notUpdated"]["#k"]["type"] == "willDestroy"
    assert result["destroyed"] == [result["created"]["k"]["id"]]
    assert jmap.call("Mailbox/get", ids=result["destroyed"])["notFound"] == result["destroyed"]


@pytest.mark.parametrize(
    "patch",
    [{"": 1}, {"name/x": 1}, {"parentId/0": "F1"}, {"myRights/mayRead/x": True}, {"na~2me": "x"}, {"nothing/x": 1}, {"~": 1},
     {"myRights": None, "myRights/maySubmit": False}],
)  # fmt: skip
def test_rfc8620_5_3_invalid_patch(jmap: JmapClient, patch: dict[str, Any]) -> None:
    one = created(jmap, name="one")
    if patch == {"": 1}:
        assert is_invalid(unchanged(jmap, one, patch), "")
    else:
        assert unchanged(jmap, one, patch)["type"] == "invalidPatch"
    assert shown(jmap, one)["name"] == "one"


def test_rfc8620_5_3_a_right_may_be_named_as_it_is(jmap: JmapClient) -> None:
    one = created(jmap, name="one")
    result = jmap.call(
        "Mailbox/set", update={one: {"myRights/mayRename": True, "myRights/maySubmit": False, "name": "x"}}
    )
    assert result["updated"] == {one: None}
    assert is_invalid(unchanged(jmap, one, {"myRights/mayRename": False}), "myRights")
    assert is_invalid(unchanged(jmap, one, {"myRights/mayFly": True}), "myRights")


def test_rfc8620_5_3_one_mailbox_is_not_changed_twice(jmap: JmapClient) -> None:
    one = created(jmap, name="one")
    [_, [_, result, _]] = jmap.responses(
        ["Mailbox/set", {"accountId": jmap.account, "create": {"k": {"name": "k"}}}, "a"],
        ["Mailbox/set", {"accountId": jmap.account, "update": {"#j": {"sortOrder": 1}, one: {"sortOrder": 2}}}, "b"],
        createdIds={"j": one},
    )
    assert result["updated"] == {one: None}
    assert result["notUpdated"] == {one: {"type": "invalidPatch", "description": "the mailbox is named twice"}}
    assert shown(jmap, one)["sortOrder"] == 1


def test_rfc8620_5_3_state_mismatch(jmap: JmapClient) -> None:
    state = jmap.call("Mailbox/get", ids=[])["state"]
    result = jmap.call("Mailbox/set", ifInState=state, create={"k": {"name": "one"}})
    assert result["oldState"] == state
    for old in (state, "0", "nonsense", ""):
        assert jmap.fails("Mailbox/set", ifInState=old, create={"k": {"name": "two"}})["type"] == "stateMismatch"
        assert jmap.fails("Mailbox/set", ifInState=old)["type"] == "stateMismatch"
    assert jmap.call("Mailbox/set", ifInState=result["newState"])["newState"] == result["newState"]


def test_rfc8620_5_3_nothing_to_do(jmap: JmapClient) -> None:
    result = jmap.call("Mailbox/set")
    assert result["oldState"] == result["newState"] == jmap.call("Mailbox/get", ids=[])["state"]
    assert {value for name, value in result.items() if name not in {"accountId", "oldState", "newState"}} == {None}
    assert jmap.call("Mailbox/set", create={}, update={}, destroy=[])["created"] is None


def test_rfc8620_5_3_bad_arguments(jmap: JmapClient) -> None:
    one = created(jmap, name="one")
    wrong: tuple[dict[str, Any], ...] = (
        {"create": []}, {"create": {"k": None}}, {"create": {"a b": {"name": "x"}}}, {"update": {one: None}}, {"update": [one]},
        {"destroy": one}, {"destroy": [1]}, {"onDestroyRemoveEmails": None}, {"onDestroyRemoveEmails": 1}, {"ifInState": 1},
        {"remove": [one]},
    )  # fmt: skip
    for arguments in wrong:
        assert jmap.fails("Mailbox/set", **arguments)["type"] == "invalidArguments", arguments
    most = jmap.session["capabilities"]["urn:ietf:params:jmap:core"]["maxObjectsInSet"]
    assert (
        jmap.fails("Mailbox/set", destroy=[f"F{number}" for number in range(1000, 1001 + most)])["type"]
        == "requestTooLarge"
    )
    assert jmap.fails("Mailbox/set", accountId="abc")["type"] == "accountNotFound"


def test_rfc8621_2_5_another_person_is_not_touched(jmap: JmapClient, jmap_other: JmapClient) -> None:
    one = created(jmap, name="mine")
    assert jmap_other.call("Mailbox/set", destroy=[one])["notDestroyed"][one]["type"] == "notFound"
    assert created(jmap_other, name="mine")
    assert shown(jmap, one)["name"] == "mine"
