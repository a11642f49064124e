"""Several accounts in one session: mailboxes that others share, and all that a grantee must not reach (RFC 8620, RFC 8621 §2, RFC 9670).

On the whole stack only: store decides here, and mail in memory would prove nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import BLOB, CORE, MAIL, JmapClient
from tests.conformance.jmap_push import listening

PRINCIPALS = "urn:ietf:params:jmap:principals"
OWNER = "urn:ietf:params:jmap:principals:owner"
USING = (CORE, MAIL, BLOB, PRINCIPALS)
NAMES = (
    "mayReadItems", "mayAddItems", "mayRemoveItems", "maySetSeen", "maySetKeywords", "mayCreateChild", "mayRename", "mayDelete",
)  # fmt: skip
READ = {"mayReadItems": True}
ALL = dict.fromkeys(NAMES, True)


@pytest.fixture
def owner(jmap_stack: JmapServer) -> Iterator[JmapClient]:
    """A person who shares."""
    client = jmap_stack.newcomer()
    yield client
    client.http.close()


@pytest.fixture
def grantee(jmap_stack: JmapServer) -> Iterator[JmapClient]:
    """A person with whom something is shared."""
    client = jmap_stack.newcomer()
    yield client
    client.http.close()


def principal(client: JmapClient) -> str:
    found = client.session["accounts"][client.account]["accountCapabilities"][PRINCIPALS]
    return str(found["currentUserPrincipalId"])


def call(client: JmapClient, method: str, **arguments: Any) -> dict[str, Any]:
    name, result, _ = client.responses([method, {"accountId": client.account, **arguments}, "c"], using=USING)[0]
    assert name == method, result
    return dict(result)


def fails(client: JmapClient, method: str, **arguments: Any) -> str:
    name, result, _ = client.responses([method, {"accountId": client.account, **arguments}, "c"], using=USING)[0]
    assert name == "error", result
    return str(result["type"])


def box(client: JmapClient, name: str, **more: Any) -> str:
    made = call(client, "Mailbox/set", create={"b": {"name": name, **more}})
    assert made["notCreated"] is None, made
    return str(made["created"]["b"]["id"])


def share(client: JmapClient, mailbox: str, other: JmapClient, rights: dict[str, bool] | None) -> None:
    told = call(client, "Mailbox/set", update={mailbox: {f"shareWith/{principal(other)}": rights}})
    assert told["notUpdated"] is None, told


def move(client: JmapClient, email: str, *mailboxes: str) -> None:
    told = call(client, "Email/set", update={email: {"mailboxIds": dict.fromkeys(mailboxes, True)}})
    assert told["notUpdated"] is None, told


def session(client: JmapClient) -> dict[str, Any]:
    found: dict[str, Any] = client.http.get("/.well-known/jmap", follow_redirects=True).json()
    return found


def until(what: Any) -> Any:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it does not come")


def test_rfc9670_1_5_the_session_tells_of_principals_and_of_owners(owner: JmapClient) -> None:
    assert owner.session["capabilities"][PRINCIPALS] == {}
    assert OWNER not in owner.session["capabilities"]
    assert owner.session["primaryAccounts"][PRINCIPALS] == owner.account
    told = owner.session["accounts"][owner.account]["accountCapabilities"][OWNER]
    assert told == {"accountIdForPrincipal": owner.account, "principalId": principal(owner)}


def test_rfc8620_2_a_shared_account_is_in_the_session_of_the_grantee(owner: JmapClient, grantee: JmapClient) -> None:
    before = grantee.run(["Core/echo", {}, "c"])["sessionState"]
    team = box(owner, "Team")
    share(owner, team, grantee, READ)
    there = until(lambda: session(grantee)["accounts"].get(owner.account))
    assert there["name"] == owner.login
    assert (there["isPersonal"], there["isReadOnly"]) == (False, True)
    assert there["accountCapabilities"][MAIL]["mayCreateTopLevelMailbox"] is False
    assert there["accountCapabilities"][OWNER] == {
        "accountIdForPrincipal": grantee.account,
        "principalId": principal(owner),
    }
    assert owner.account not in session(grantee)["primaryAccounts"].values()
    after = grantee.run(["Core/echo", {}, "c"])["sessionState"]
    assert after == session(grantee)["state"] != before
    share(owner, team, grantee, ALL)
    assert until(lambda: session(grantee)["accounts"][owner.account]["isReadOnly"] is False)
    assert grantee.account not in session(owner)["accounts"], "a share goes one way"
    share(owner, team, grantee, None)
    assert until(lambda: owner.account not in session(grantee)["accounts"])


def test_rfc8621_2_a_grantee_sees_shared_mailboxes_with_their_rights_and_no_others(
    owner: JmapClient, grantee: JmapClient
) -> None:
    team = box(owner, "Team", shareWith={principal(grantee): READ | {"maySetSeen": True}})
    inner = box(owner, "Inner", parentId=team)
    found = call(grantee, "Mailbox/get", accountId=owner.account, ids=None)["list"]
    assert [one["id"] for one in found] == [team]
    rights = found[0]["myRights"]
    assert {name for name, value in rights.items() if value} == {"mayReadItems", "maySetSeen"}
    assert (found[0]["shareWith"], found[0]["isSubscribed"]) == (None, True)
    assert call(grantee, "Mailbox/get", accountId=owner.account, ids=[inner, team])["notFound"] == [inner]
    own = call(owner, "Mailbox/get", ids=[team])["list"][0]
    assert own["myRights"]["mayShare"] is True
    assert {name for name, value in own["shareWith"][principal(grantee)].items() if value} == {
        "mayReadItems",
        "maySetSeen",
    }
    assert call(owner, "Mailbox/get", ids=[inner])["list"][0]["shareWith"] is None
    # whoever does not know of sharing sees RFC 8621 and no more
    plain = owner.call("Mailbox/get", ids=[team])["list"][0]
    assert "shareWith" not in plain
    assert "mayShare" not in plain["myRights"]
    assert call(grantee, "Mailbox/query", accountId=owner.account)["ids"] == [team]


def test_rfc8620_3_6_2_what_is_not_shared_is_not_there(owner: JmapClient, grantee: JmapClient) -> None:
    wanted: dict[str, dict[str, Any]] = {
        "Mailbox/get": {"ids": None}, "Email/query": {}, "Email/get": {"ids": ["M1"]}, "Email/changes": {"sinceState": "1"},
        "Thread/get": {"ids": ["T1"]}, "Mailbox/set": {}, "Email/set": {}, "Blob/get": {"ids": ["B1"]},
    }  # fmt: skip
    for method, arguments in wanted.items():
        assert fails(grantee, method, accountId=owner.account, **arguments) == "accountNotFound", method
    assert fails(grantee, "Mailbox/get", accountId="aaaaaa", ids=None) == "accountNotFound"
    team = box(owner, "Team")
    share(owner, team, grantee, READ)
    assert call(grantee, "Mailbox/get", accountId=owner.account, ids=None)["list"]
    for method in ("Principal/get", "Quota/get", "Identity/get"):
        using = (*USING, "urn:ietf:params:jmap:quota", "urn:ietf:params:jmap:submission")
        asked = [method, {"accountId": owner.account, "ids": None}, "c"]
        name, result, _ = grantee.responses(asked, using=using)[0]
        assert (name, result["type"]) == ("error", "accountNotSupportedByMethod"), method
    assert fails(grantee, "Email/set", accountId=owner.account) == "accountReadOnly"
    share(owner, team, grantee, None)
    assert fails(grantee, "Mailbox/get", accountId=owner.account, ids=None) == "accountNotFound", "at once"


def test_rfc8621_4_a_grantee_reads_through_the_shared_mailbox_only(owner: JmapClient, grantee: JmapClient) -> None:
    inbox, team = owner.mailbox("inbox"), box(owner, "Team")
    first = owner.mail("plan", message_id="plan-1@x.example")
    second = owner.mail("Re: plan", message_id="plan-2@x.example", fields="In-Reply-To: <plan-1@x.example>\r\n")
    move(owner, second, inbox, team)
    share(owner, team, grantee, ALL)
    there = {"accountId": owner.account}
    got = call(
        grantee, "Email/get", **there, ids=[first, second], properties=["mailboxIds", "threadId", "subject", "blobId"]
    )
    assert got["notFound"] == [first]
    assert got["list"][0]["mailboxIds"] == {team: True}
    thread = call(grantee, "Thread/get", **there, ids=[got["list"][0]["threadId"]])
    assert thread["list"][0]["emailIds"] == [second]
    for wanted in (None, {"inMailbox": team}, {"inMailboxOtherThan": [inbox]}, {"subject": "plan"}):
        assert call(grantee, "Email/query", **there, filter=wanted)["ids"] == [second], wanted
    for wanted in ({"inMailbox": inbox}, {"inMailboxOtherThan": [team]}):
        assert call(grantee, "Email/query", **there, filter=wanted)["ids"] == [], wanted
    shown = call(grantee, "SearchSnippet/get", **there, filter={"subject": "plan"}, emailIds=[first, second])
    assert shown["notFound"] == [first]
    assert [(one["emailId"], one["subject"]) for one in shown["list"]] == [(second, "Re: <mark>plan</mark>")]
    # RFC 8620 §5.5, §5.6: the list is given, what became of it is not
    listed = call(grantee, "Email/query", **there)
    assert listed["canCalculateChanges"] is False
    since = listed["queryState"]
    assert fails(grantee, "Email/queryChanges", **there, sinceQueryState=since) == "cannotCalculateChanges"
    url = grantee.session["downloadUrl"].replace("{name}", "x").replace("{type}", "text/plain")
    url = url.replace("{accountId}", owner.account)
    found = grantee.http.get(url.replace("{blobId}", got["list"][0]["blobId"]))
    assert found.status_code == 200
    assert b"Re: plan" in found.content
    assert grantee.http.get(url.replace("{blobId}", first.replace("M", "B"))).status_code == 404
    share(owner, team, grantee, None)
    assert grantee.http.get(url.replace("{blobId}", got["list"][0]["blobId"])).status_code == 404


def test_rfc8620_5_2_changes_follow_the_rights(owner: JmapClient, grantee: JmapClient) -> None:
    team, other = box(owner, "Team"), box(owner, "Other")
    inside, outside = owner.mail("inside"), owner.mail("outside")
    move(owner, inside, team)
    share(owner, other, grantee, READ)
    there = {"accountId": owner.account}
    state = call(grantee, "Email/get", **there, ids=[])["state"]
    boxes = call(grantee, "Mailbox/get", **there, ids=[])["state"]
    share(owner, team, grantee, READ)
    told = call(grantee, "Email/changes", **there, sinceState=state)
    assert (told["created"], told["updated"], told["destroyed"]) == ([inside], [], [])
    seen = call(grantee, "Mailbox/changes", **there, sinceState=boxes)
    assert (seen["created"], seen["destroyed"]) == ([team], [])
    move(owner, outside, team)
    later = call(grantee, "Email/changes", **there, sinceState=told["newState"])
    assert (later["created"], later["destroyed"]) == ([outside], [])
    share(owner, team, grantee, None)
    last = call(grantee, "Email/changes", **there, sinceState=later["newState"])
    assert (last["created"], last["updated"], sorted(last["destroyed"])) == ([], [], sorted([inside, outside]))
    assert call(grantee, "Mailbox/changes", **there, sinceState=seen["newState"])["destroyed"] == [team]


def test_rfc8621_4_6_each_right_allows_what_it_says(owner: JmapClient, grantee: JmapClient) -> None:
    team, archive = box(owner, "Team"), box(owner, "Archive 2")
    email = owner.mail()
    move(owner, email, team)

    def attempt(rights: dict[str, bool], patch: dict[str, Any]) -> str:
        share(owner, team, grantee, READ | rights)
        told = call(grantee, "Email/set", accountId=owner.account, update={email: patch})
        return "" if told["notUpdated"] is None else str(told["notUpdated"][email]["type"])

    share(owner, archive, grantee, READ | {"mayAddItems": True})
    flag, seen = {"keywords/$flagged": True}, {"keywords/$seen": True}
    leave = {"mailboxIds": {archive: True}}
    assert attempt({"maySetSeen": True}, flag) == "forbidden"
    assert attempt({"maySetSeen": True}, seen) == ""
    assert attempt({"maySetKeywords": True}, {"keywords/$seen": None}) == "forbidden"
    assert attempt({"maySetKeywords": True}, flag) == ""
    assert attempt({"mayAddItems": True}, leave) == "forbidden"
    assert attempt({"mayRemoveItems": True}, {"mailboxIds": {owner.mailbox("inbox"): True}}) == "invalidProperties"
    assert attempt({"mayRemoveItems": True}, leave) == ""
    told = call(grantee, "Email/set", accountId=owner.account, destroy=[email])
    assert told["notDestroyed"][email]["type"] == "forbidden"


def test_rfc9670_4_share_with_is_the_owners_to_set(owner: JmapClient, grantee: JmapClient) -> None:
    team = box(owner, "Team", shareWith={principal(grantee): ALL})

    def refused(client: JmapClient, patch: dict[str, Any]) -> str:
        told = call(client, "Mailbox/set", accountId=owner.account, update={team: patch})
        assert told["updated"] is None, told
        return str(told["notUpdated"][team]["type"])

    theirs: list[dict[str, Any]] = [
        {"shareWith": None},
        {f"shareWith/{principal(grantee)}/mayDelete": True},
        {"shareWith/P1": READ},
    ]
    for patch in theirs:
        assert refused(grantee, patch) == "forbidden"
    wrong: list[dict[str, Any]] = [
        {"shareWith": {principal(owner): READ}}, {"shareWith": {"P77": READ}}, {"shareWith": {"nobody": READ}}, {"shareWith": 1},
        {f"shareWith/{principal(grantee)}": {"mayAddItems": True}}, {f"shareWith/{principal(grantee)}/mayFly": True},
        {f"shareWith/{principal(grantee)}/maySubmit": True}, {f"shareWith/{principal(grantee)}/mayShare": True},
    ]  # fmt: skip
    for patch in wrong:
        assert refused(owner, patch) == "invalidProperties", patch
    assert refused(owner, {"shareWith": {}, f"shareWith/{principal(grantee)}": READ}) == "invalidPatch"
    call(owner, "Mailbox/set", update={team: {f"shareWith/{principal(grantee)}/mayDelete": False}})
    given = call(owner, "Mailbox/get", ids=[team])["list"][0]["shareWith"][principal(grantee)]
    assert (given["mayDelete"], given["mayAddItems"]) == (False, True)
    call(owner, "Mailbox/set", update={team: {"shareWith": None}})
    assert call(owner, "Mailbox/get", ids=[team])["list"][0]["shareWith"] is None


def test_rfc8620_5_3_share_with_is_told_as_it_is_kept(owner: JmapClient, grantee: JmapClient) -> None:
    other = principal(grantee)
    told = call(owner, "Mailbox/set", create={"a": {"name": "A"}, "b": {"name": "B", "shareWith": {other: READ}}})
    whole = {other: dict.fromkeys((*NAMES, "maySubmit", "mayShare"), False) | READ}
    assert (told["created"]["a"]["shareWith"], told["created"]["b"]["shareWith"]) == (None, whole)
    team = told["created"]["b"]["id"]

    def updated(patch: dict[str, Any]) -> Any:
        return call(owner, "Mailbox/set", update={team: patch})["updated"][team]

    assert updated({"shareWith": {other: READ}}) == {"shareWith": whole}
    assert updated({"shareWith": whole}) is None
    assert call(owner, "Mailbox/get", ids=[team])["list"][0]["shareWith"] == whole
    assert updated({"shareWith": {}, "name": "Renamed"}) == {"shareWith": None}
    last = call(grantee, "ShareNotification/get", ids=None)["list"][-1]
    assert (last["objectId"], last["newRights"], last["name"]) == (team, None, "B"), "by the name that they knew"


def test_rfc8621_2_5_a_grantee_changes_mailboxes_by_right(owner: JmapClient, grantee: JmapClient) -> None:
    team, own = box(owner, "Team"), box(owner, "Own")
    share(owner, team, grantee, READ | {"mayCreateChild": True})
    there = {"accountId": owner.account}
    told = call(grantee, "Mailbox/set", **there, create={"t": {"name": "Top"}, "c": {"name": "Child", "parentId": team}},
                update={team: {"name": "Mine"}, own: {"name": "Mine"}}, destroy=[own])  # fmt: skip
    assert told["notCreated"]["t"]["type"] == "forbidden"
    child = told["created"]["c"]["id"]
    assert told["notUpdated"][team]["type"] == "forbidden"
    assert told["notUpdated"][own]["type"] == told["notDestroyed"][own]["type"] == "notFound"
    assert call(grantee, "Mailbox/get", **there, ids=[child])["list"][0]["parentId"] == team
    quiet = call(
        grantee, "Mailbox/set", **there, update={team: {"isSubscribed": False}, child: {"isSubscribed": False}}
    )
    assert quiet["notUpdated"] is None
    assert call(grantee, "Mailbox/get", **there, ids=[team])["list"][0]["isSubscribed"] is False
    assert call(owner, "Mailbox/get", ids=[team])["list"][0]["isSubscribed"] is True
    # RFC 9670 §1.4: an account of which nothing is subscribed to is not in the session
    assert until(lambda: owner.account not in session(grantee)["accounts"])
    assert call(grantee, "Mailbox/get", **there, ids=[team])["list"], "it may be read all the same"


def test_rfc8620_5_4_copies_between_accounts_keep_to_the_rights(owner: JmapClient, grantee: JmapClient) -> None:
    team = box(owner, "Team")
    share(owner, team, grantee, READ | {"mayAddItems": True})
    mine = grantee.mail("mine")
    created = {"c": {"id": mine, "mailboxIds": {team: True}}}
    responses = grantee.responses(
        ["Email/copy", {"fromAccountId": grantee.account, "accountId": owner.account, "create": created,
                        "onSuccessDestroyOriginal": True}, "c"],
        using=USING,
    )  # fmt: skip
    copied, destroyed = responses[0][1], responses[1][1]
    assert copied["notCreated"] is None
    assert destroyed["destroyed"] == [mine]
    there = copied["created"]["c"]["id"]
    assert owner.get(there, "subject")["subject"] == "mine"
    back = {"c": {"id": there, "mailboxIds": {grantee.mailbox("inbox"): True}}}
    responses = grantee.responses(
        ["Email/copy", {"fromAccountId": owner.account, "accountId": grantee.account, "create": back,
                        "onSuccessDestroyOriginal": True}, "c"],
        using=USING,
    )  # fmt: skip
    assert responses[0][1]["notCreated"] is None
    assert responses[1][1]["notDestroyed"][there]["type"] == "forbidden"
    hidden = owner.mail("hidden")
    told = call(grantee, "Email/copy", fromAccountId=owner.account, create={"c": {**back["c"], "id": hidden}})
    assert told["notCreated"]["c"]["type"] == "notFound"
    no_right = {"c": {"id": grantee.mail("other"), "mailboxIds": {owner.mailbox("inbox"): True}}}
    told = call(grantee, "Email/copy", accountId=owner.account, fromAccountId=grantee.account, create=no_right)
    assert told["notCreated"]["c"]["type"] == "invalidProperties"


def test_rfc8620_6_uploads_for_a_shared_account_are_the_persons_own(owner: JmapClient, grantee: JmapClient) -> None:
    team = box(owner, "Team")
    share(owner, team, grantee, READ | {"mayAddItems": True})
    secret = owner.upload(b"the owner's own")
    url = grantee.session["uploadUrl"].replace("{accountId}", owner.account)
    raw = b"From: a@x.example\r\nSubject: uploaded\r\n\r\nhello\r\n"
    answer = grantee.http.post(url, content=raw, headers={"Content-Type": "message/rfc822"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["accountId"] == owner.account
    blob = answer.json()["blobId"]
    assert call(grantee, "Blob/get", accountId=owner.account, ids=[secret], properties=["size"])["notFound"] == [secret]
    emails = {"i": {"blobId": blob, "mailboxIds": {team: True}}}
    made = call(grantee, "Email/import", accountId=owner.account, emails=emails)
    assert made["notCreated"] is None
    assert owner.get(made["created"]["i"]["id"], "subject")["subject"] == "uploaded"
    copied = call(grantee, "Blob/copy", fromAccountId=owner.account, blobIds=[made["created"]["i"]["blobId"], secret])
    assert list(copied["copied"]) == [made["created"]["i"]["blobId"]]
    assert copied["notCopied"][secret]["type"] == "notFound"


def test_rfc9670_1_4_a_grantee_is_told_of_changes_of_the_shared_account(owner: JmapClient, grantee: JmapClient) -> None:
    team = box(owner, "Team")
    with listening(grantee) as stream:

        def told(client: JmapClient) -> list[dict[str, Any]]:
            """Return what is told until something of an account is."""
            found: list[dict[str, Any]] = []
            while not found or client.account not in found[-1]:
                event = stream.next()
                assert event is not None
                found.append(event.data["changed"])
            return found

        share(owner, team, grantee, READ)
        changed = told(owner)[-1][owner.account]
        assert set(changed) == {"Email", "Mailbox", "Thread"}, "how much comes to another's account is not told"
        move(owner, owner.mail(), team)
        state = call(grantee, "Email/get", accountId=owner.account, ids=[])["state"]
        while changed["Email"] != state:
            changed = told(owner)[-1][owner.account]
        share(owner, team, grantee, None)
        assert until(lambda: owner.account not in session(grantee)["accounts"])
        time.sleep(2)
        owner.mail()
        owner.mail()
        time.sleep(1)
        mine = grantee.mail()
        state = grantee.call("Email/get", ids=[mine])["state"]
        seen = told(grantee)
        while seen[-1][grantee.account].get("Email") != state:
            seen += told(grantee)
        after = seen[[index for index, one in enumerate(seen) if grantee.account in one][-1] :]
        assert all(owner.account not in one for one in after)


def test_rfc9670_2_principals_are_found_by_address_and_by_shares(owner: JmapClient, grantee: JmapClient) -> None:
    alone = call(owner, "Principal/get", ids=None)
    assert [one["id"] for one in alone["list"]] == [principal(owner)]
    me = alone["list"][0]
    assert (me["type"], me["email"], me["timeZone"], list(me["accounts"])) == (
        "individual",
        owner.login,
        None,
        [owner.account],
    )
    found = call(owner, "Principal/query", filter={"email": grantee.login}, calculateTotal=True)
    assert (found["ids"], found["total"], found["canCalculateChanges"]) == ([principal(grantee)], 1, False)
    assert call(owner, "Principal/query", filter={"text": "nobody@nowhere.test"})["ids"] == []
    assert call(owner, "Principal/query", filter={"email": grantee.login, "type": "group"})["ids"] == []
    assert call(owner, "Principal/query", filter={"accountIds": [owner.account]})["ids"] == [principal(owner)]
    them = call(owner, "Principal/get", ids=[principal(grantee), "P1", "x"], properties=["email", "accounts"])
    assert them["list"] == [{"id": principal(grantee), "email": grantee.login, "accounts": None}]
    assert them["notFound"] == ["P1", "x"]
    share(owner, box(owner, "Team"), grantee, READ)
    assert {one["id"] for one in call(owner, "Principal/get", ids=None)["list"]} == {
        principal(owner),
        principal(grantee),
    }
    until(lambda: owner.account in session(grantee)["accounts"])
    seen = {one["id"]: one for one in call(grantee, "Principal/get", ids=None)["list"]}
    assert seen[principal(owner)]["accounts"] == {owner.account: session(grantee)["accounts"][owner.account]}
    assert seen[principal(grantee)]["accounts"] == {grantee.account: session(grantee)["accounts"][grantee.account]}
    state = call(owner, "Principal/get", ids=[])["state"]
    assert fails(owner, "Principal/changes", sinceState=state) == "cannotCalculateChanges"
    assert fails(owner, "Principal/queryChanges", sinceQueryState=state) == "cannotCalculateChanges"
    assert fails(owner, "Principal/query", sort=[{"property": "shoeSize"}]) == "unsupportedSort"
    assert fails(owner, "Principal/query", filter={"shoeSize": 1}) == "invalidArguments"
    told = call(
        owner, "Principal/set", create={"a": {}}, update={principal(owner): {"name": "x"}}, destroy=[principal(grantee)]
    )
    assert {one["type"] for kind in ("notCreated", "notUpdated", "notDestroyed") for one in told[kind].values()} == {
        "forbidden"
    }


def test_rfc9670_3_notifications_tell_of_rights_and_are_dismissed(owner: JmapClient, grantee: JmapClient) -> None:
    before = call(grantee, "ShareNotification/get", ids=None)
    assert before["list"] == []
    team = box(owner, "Team")
    with listening(grantee, "ShareNotification", close_after="state") as stream:
        share(owner, team, grantee, READ)
        event = stream.next()
    assert event is not None, "RFC 9670 §3: whoever is shared with is told by push"
    assert set(event.data["changed"]) == {grantee.account}
    assert event.data["changed"][grantee.account] == {
        "ShareNotification": call(grantee, "ShareNotification/get", ids=[])["state"]
    }
    share(owner, team, grantee, None)
    found = call(grantee, "ShareNotification/get", ids=None)
    first, second = found["list"]
    assert first["changedBy"]["email"] == owner.login
    assert first["changedBy"]["principalId"] == principal(owner)
    assert (first["objectType"], first["objectAccountId"], first["objectId"], first["name"]) == (
        "Mailbox",
        owner.account,
        team,
        "Team",
    )
    assert (first["oldRights"], first["newRights"]["mayReadItems"], first["newRights"]["mayAddItems"]) == (
        None,
        True,
        False,
    )
    assert (second["oldRights"]["mayReadItems"], second["newRights"]) == (True, None)
    both = [first["id"], second["id"]]
    told = call(grantee, "ShareNotification/changes", sinceState=before["state"])
    assert (told["created"], told["destroyed"]) == (both, [])
    assert (
        call(grantee, "ShareNotification/query", filter={"objectType": "Mailbox", "after": first["created"]})["ids"]
        == both
    )
    assert call(grantee, "ShareNotification/query", filter={"before": first["created"]})["ids"] == []
    assert call(grantee, "ShareNotification/query", filter={"objectAccountId": grantee.account})["ids"] == []
    newest = [{"property": "created", "isAscending": False}]
    assert sorted(call(grantee, "ShareNotification/query", sort=newest)["ids"]) == sorted(both)
    assert fails(grantee, "ShareNotification/query", sort=[{"property": "name"}]) == "unsupportedSort"
    assert fails(grantee, "ShareNotification/queryChanges", sinceQueryState="1") == "cannotCalculateChanges"
    assert fails(grantee, "ShareNotification/set", ifInState="1", destroy=both) == "stateMismatch"
    done = call(
        grantee, "ShareNotification/set", create={"n": {}}, update={both[1]: {"name": "x"}}, destroy=[both[0], "N99999"]
    )
    assert (done["destroyed"], done["notCreated"]["n"]["type"]) == ([both[0]], "forbidden")
    assert (done["notUpdated"][both[1]]["type"], done["notDestroyed"]["N99999"]["type"]) == ("forbidden", "notFound")
    assert call(grantee, "ShareNotification/changes", sinceState=done["oldState"])["destroyed"] == [both[0]]
    assert [one["id"] for one in call(owner, "ShareNotification/get", ids=None)["list"]] == []
