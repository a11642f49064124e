"""RFC 8620 §2: the session object, and who may see it."""

from __future__ import annotations

import base64

import httpx
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import BLOB, CORE, MAIL, JmapClient, basic


def test_rfc8620_2_session_names_every_property(jmap: JmapClient) -> None:
    wanted = {
        "capabilities", "accounts", "primaryAccounts", "username", "apiUrl", "downloadUrl", "uploadUrl", "eventSourceUrl",
        "state",
    }  # fmt: skip
    assert set(jmap.session) == wanted
    assert jmap.session["username"] == jmap.login
    assert jmap.session["apiUrl"].startswith(jmap.url)


def test_rfc8620_2_core_capability_has_its_limits(jmap: JmapClient) -> None:
    core = jmap.session["capabilities"][CORE]
    assert core["maxSizeRequest"] >= 10_000_000
    assert core["maxConcurrentRequests"] >= 4
    assert core["maxCallsInRequest"] >= 16
    assert core["maxObjectsInGet"] >= 500
    assert core["maxObjectsInSet"] >= 500
    assert core["maxSizeUpload"] >= 50_000_000
    assert core["maxConcurrentUpload"] >= 4
    assert "i;unicode-casemap" in core["collationAlgorithms"]


def test_rfc8620_2_account_is_described(jmap: JmapClient) -> None:
    account = jmap.session["accounts"][jmap.account]
    assert account["name"] == jmap.login
    assert account["isPersonal"] is True
    assert account["isReadOnly"] is False
    assert {CORE, MAIL, BLOB} <= set(account["accountCapabilities"])


def test_rfc8620_2_core_has_no_primary_account(jmap: JmapClient) -> None:
    assert CORE not in jmap.session["primaryAccounts"]
    assert set(jmap.session["primaryAccounts"].values()) == {jmap.account}


def test_rfc8620_2_url_templates_have_their_variables(jmap: JmapClient) -> None:
    for variable in ("{accountId}", "{blobId}", "{type}", "{name}"):
        assert variable in jmap.session["downloadUrl"]
    assert "{accountId}" in jmap.session["uploadUrl"]
    for variable in ("{types}", "{closeafter}", "{ping}"):
        assert variable in jmap.session["eventSourceUrl"]


def test_rfc8620_2_session_is_not_cached(jmap: JmapClient) -> None:
    answer = jmap.http.get("/jmap/session")
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_rfc8620_2_response_bears_the_sessions_state(jmap: JmapClient) -> None:
    assert jmap.run(["Core/echo", {}, "c"])["sessionState"] == jmap.session["state"]


def test_rfc8620_2_2_well_known_leads_to_the_session(jmap: JmapClient) -> None:
    assert jmap.http.get("/.well-known/jmap").json() == jmap.http.get("/jmap/session").json()


def test_rfc8621_1_3_1_mail_capability_is_real(jmap: JmapClient) -> None:
    assert jmap.session["capabilities"][MAIL] == {}
    mail = jmap.session["accounts"][jmap.account]["accountCapabilities"][MAIL]
    assert mail["maxMailboxesPerEmail"] is None
    assert mail["maxSizeMailboxName"] >= 100
    assert mail["maxSizeAttachmentsPerEmail"] > 0
    assert mail["mayCreateTopLevelMailbox"] is True
    assert mail["maxMailboxDepth"] > 1
    for name in mail["emailQuerySortOptions"]:
        extra = {"keyword": "$seen"} if name.endswith("Keyword") else {}
        jmap.call("Email/query", sort=[{"property": name, **extra}])


def test_rfc8620_8_2_authentication_is_needed(server: JmapServer) -> None:
    for path in ("/jmap/session", "/.well-known/jmap"):
        answer = httpx.get(server.url + path)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        challenges = answer.headers.get_list("www-authenticate")
        assert any(challenge.startswith("Basic ") for challenge in challenges)
        assert any(challenge.startswith("Bearer ") for challenge in challenges)
    assert httpx.post(server.url + "/jmap/api", json={}).status_code == 401


def test_rfc7617_wrong_passwords_are_refused_alike(jmap: JmapClient) -> None:
    known = httpx.get(f"{jmap.url}/jmap/session", headers=basic(jmap.login, "wrong"))
    unknown = httpx.get(f"{jmap.url}/jmap/session", headers=basic("nobody@" + jmap.login.partition("@")[2], "wrong"))
    assert known.status_code == unknown.status_code == 401
    assert known.json() == unknown.json()


def test_rfc7617_rubbish_is_401_never_500(jmap: JmapClient) -> None:
    for value in ("Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Digest x", "Bearer", "Bearer \xff",
                  "Basic " + base64.b64encode(b"\xff\xfe:x").decode(), "Bearer " + "x" * 2000):  # fmt: skip
        answer = httpx.get(f"{jmap.url}/jmap/session", headers={b"Authorization": value.encode("latin-1")})
        assert answer.status_code == 401, value


def test_rfc6750_bearer_session_is_made_used_and_ended(jmap: JmapClient) -> None:
    made = jmap.http.post("/api/session", json={"label": "a test"})
    assert made.status_code == 201
    assert "no-store" in made.headers["cache-control"]
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    assert httpx.get(f"{jmap.url}/jmap/session", headers=bearer).json()["username"] == jmap.login
    assert httpx.post(f"{jmap.url}/api/session", headers=bearer).status_code == 403
    assert httpx.delete(f"{jmap.url}/api/session", headers=bearer).status_code == 204
    assert httpx.get(f"{jmap.url}/jmap/session", headers=bearer).status_code == 401
    assert jmap.http.delete("/api/session").status_code == 400


def test_rfc9110_unknown_paths_and_methods(jmap: JmapClient) -> None:
    assert jmap.http.get("/nothing").status_code == 404
    answer = jmap.http.get("/jmap/api")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_rfc9112_3_2_host_must_be_a_host(jmap: JmapClient) -> None:
    for host in ("evil/..", "a b", 'x"y', "<x>"):
        assert jmap.http.get("/jmap/session", headers={"Host": host}).status_code == 400
    named = jmap.http.get("/jmap/session", headers={"Host": "mail.example.org:8443"}).json()
    assert named["apiUrl"] == "http://mail.example.org:8443/jmap/api"
