"""RFC 8621 §8 on the wire: the answer while somebody is away."""

from __future__ import annotations

from tests.conformance.jmap_client import CORE, MAIL, VACATION, JmapClient
from tests.conformance.jmap_push import listening

NOTHING = {
    "id": "singleton", "isEnabled": False, "fromDate": None, "toDate": None, "subject": None, "textBody": None, "htmlBody": None,
}  # fmt: skip


def test_rfc8621_1_3_3_vacation_capability(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][VACATION] == {}
    assert jmap.session["accounts"][jmap.account]["accountCapabilities"][VACATION] == {}
    assert jmap.session["primaryAccounts"][VACATION] == jmap.account
    answer = jmap.responses(["VacationResponse/get", {"accountId": jmap.account}, "c"], using=(CORE, MAIL))
    assert answer[0][1]["type"] == "unknownMethod"


def test_rfc8621_8_1_there_is_one_response(jmap: JmapClient) -> None:
    found = jmap.call("VacationResponse/get")
    assert found["list"] == [NOTHING]
    found = jmap.call("VacationResponse/get", ids=["singleton", "other"], properties=["isEnabled"])
    assert found["list"] == [{"id": "singleton", "isEnabled": False}]
    assert found["notFound"] == ["other"]
    assert jmap.fails("VacationResponse/get", properties=["days"])["type"] == "invalidArguments"


def test_rfc8621_8_2_set(jmap: JmapClient) -> None:
    start = jmap.call("VacationResponse/get")["state"]
    wanted = {
        "isEnabled": True, "fromDate": "2026-08-01T00:00:00Z", "toDate": "2026-08-31T22:00:00Z", "subject": "Là-bas",
        "textBody": "Back in September.\r\n", "htmlBody": "<p>Back in September.</p>",
    }  # fmt: skip
    done = jmap.call("VacationResponse/set", ifInState=start, update={"singleton": wanted})
    assert done["updated"] == {"singleton": None}
    assert done["oldState"] == start != done["newState"]
    found = jmap.call("VacationResponse/get")
    assert found["list"] == [{"id": "singleton", **wanted}]
    assert found["state"] == done["newState"]
    jmap.call("VacationResponse/set", update={"singleton": {"subject": None, "toDate": None}})
    (one,) = jmap.call("VacationResponse/get")["list"]
    assert (one["subject"], one["toDate"], one["textBody"]) == (None, None, wanted["textBody"])
    assert jmap.fails("VacationResponse/set", ifInState=start)["type"] == "stateMismatch"


def test_rfc8621_8_2_set_refuses(jmap: JmapClient) -> None:
    done = jmap.call(
        "VacationResponse/set", create={"a": {"isEnabled": True}}, destroy=["singleton"], update={"other": {}}
    )
    assert done["notCreated"]["a"]["type"] == done["notDestroyed"]["singleton"]["type"] == "singleton"
    assert done["notUpdated"]["other"]["type"] == "notFound"
    for wrong in (
        {"isEnabled": 1}, {"fromDate": "2026-08-01"}, {"toDate": "2026-13-01T00:00:00Z"}, {"subject": 3}, {"days": 7},
        {"id": "other"}, {"subject": "two\r\nlines"}, {"textBody": "x" * 70_000},
    ):  # fmt: skip
        error = jmap.call("VacationResponse/set", update={"singleton": wrong})["notUpdated"]["singleton"]
        assert (error["type"], error["properties"]) == ("invalidProperties", list(wrong)), wrong
    assert jmap.call("VacationResponse/get")["list"] == [NOTHING]


def test_rfc8620_7_1_changes_of_the_answer_while_away_are_pushed(jmap: JmapClient) -> None:
    with listening(jmap, "VacationResponse") as stream:
        for wanted in (True, False):
            jmap.call("VacationResponse/set", update={"singleton": {"isEnabled": wanted}})
            state = jmap.call("VacationResponse/get")["state"]
            found = stream.next()
            assert found is not None
            assert found.data["changed"][jmap.account] == {"VacationResponse": state}
