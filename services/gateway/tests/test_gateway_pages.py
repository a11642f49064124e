"""The web app's files, and its session: a cookie that no script reads and no other site's page makes use of."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_gateway.http.app import Gateway, Route
from petitbleu_gateway.http.credentials import COOKIE
from petitbleu_gateway.http.exchange import OctetBudget
from petitbleu_gateway.http.page_door import ASSETS_PATH, PageDoor, pages_of
from petitbleu_gateway.http.session_doors import SessionDoors
from petitbleu_gateway.ports import Credential, Identity, NewSession, RefusedError
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_kit.lifecycle import StartupError

TOKEN = "t" * 43
WHO = Identity(7, 1, "a@x.test", "A", (1,), 5, "principal", 1 << 40)


class Accounts:
    def __init__(self) -> None:
        self.devices: list[bytes] = []
        self.revoked: list[int] = []

    async def authenticate(self, credential: Credential, _client_ip: str) -> Identity:
        if credential == Credential("", TOKEN):
            return WHO
        if credential == Credential("a@x.test", "right"):
            return Identity(7, 1, "a@x.test", "A", (1,), 0, "principal", 1 << 40)
        raise RefusedError

    async def create_session(self, _principal: str, _label: str, _client_ip: str, device: bytes = b"") -> NewSession:
        self.devices.append(device)
        return NewSession(TOKEN, 5, 1 << 40)

    async def revoke_session(self, _principal: str, session_id: int) -> None:
        self.revoked.append(session_id)


class Served:
    def __init__(self, root: Path | None = None) -> None:
        self.accounts = Accounts()
        authentication = Authentication(self.accounts, lambda: 60.0)
        doors = SessionDoors(authentication, self.accounts, None, "", OctetBudget(1 << 20), None)  # type: ignore[arg-type]
        pages = PageDoor(pages_of(root))
        methods = {"GET": pages.page, "HEAD": pages.page}
        self.application = Gateway(
            [
                Route("sessions", "/api/session", {"POST": doors.create, "DELETE": doors.revoke}),
                Route("page", "/", methods),
                Route("page", ASSETS_PATH, methods, below=True),
            ]
        )

    async def ask(
        self, method: str, path: str, body: bytes = b"", /, *, scheme: str = "https", **headers: str
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        given_headers = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"", "headers": [(b"host", b"x.test"), *given_headers],
            "client": ("192.0.2.1", 1), "scheme": scheme,
        }  # fmt: skip
        await self.application(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:])


BASIC = "Basic YUB4LnRlc3Q6cmlnaHQ="


async def test_a_browser_is_known_again_by_what_it_keeps_and_a_program_by_nothing() -> None:
    served = Served()
    device = base64.urlsafe_b64encode(b"d" * 16).decode().rstrip("=")
    for cookie in (f"__Host-petitbleu-device={device}", f"a=b; __Host-petitbleu-device={device}; c=d"):
        await served.ask("POST", "/api/session", b'{"cookie": true}', authorization=BASIC, cookie=cookie)
        assert served.accounts.devices[-1] == b"d" * 16
    for cookie in (
        "",
        "__Host-petitbleu-device=",
        "__Host-petitbleu-device=%%",
        f"__Host-petitbleu-device={device}AAAA",
        "x",
    ):
        await served.ask("POST", "/api/session", b'{"cookie": true}', authorization=BASIC, cookie=cookie)
        assert len(served.accounts.devices[-1]) == 16
        assert served.accounts.devices[-1] not in {b"d" * 16, *served.accounts.devices[:-1]}
    await served.ask("POST", "/api/session", authorization=BASIC)
    assert served.accounts.devices[-1] == b""


async def test_rfc6265_the_token_is_in_a_cookie_that_no_script_reads_and_nowhere_else() -> None:
    served = Served()
    status, headers, body = await served.ask("POST", "/api/session", b'{"cookie": true}', authorization=BASIC)
    assert status == 201
    name, *rest = headers[b"set-cookie"].decode().split("; ")
    assert name == f"{COOKIE}={TOKEN}"
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(rest)
    assert not any(one.startswith("Domain") for one in rest)
    assert "token" not in json.loads(body)
    assert TOKEN.encode() not in body
    # a program that asks for none gets its token as ever
    _, headers, body = await served.ask("POST", "/api/session", authorization=BASIC)
    assert b"set-cookie" not in headers
    assert json.loads(body)["token"] == TOKEN


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "same-origin"}, 204),
        ({"sec_fetch_site": "same-origin", "origin": "https://evil.test"}, 204),  # what the browser says of it counts
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "none"}, 403),
        ({"origin": "https://x.test"}, 204),
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_a_cookie_counts_for_our_own_pages_only(headers: dict[str, str], status: int) -> None:
    served = Served()
    found, answer, _ = await served.ask("DELETE", "/api/session", cookie=f"a=b; {COOKIE}={TOKEN}", **headers)
    assert found == status
    assert served.accounts.revoked == ([5] if status == 204 else [])
    if status == 204:
        assert b"Max-Age=0" in answer[b"set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "same-origin"}, 201),
        ({"origin": "https://x.test"}, 201),
        ({}, 201),  # a program: a browser says one or the other of every POST
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "https://evil.test"}, 403),
    ],
)
async def test_no_other_sites_page_puts_its_own_session_into_a_browser(headers: dict[str, str], status: int) -> None:
    served = Served()
    found, answer, _ = await served.ask("POST", "/api/session", b'{"cookie": true}', authorization=BASIC, **headers)
    assert found == status
    assert (b"set-cookie" in answer) == (status == 201)


async def test_a_header_goes_before_a_cookie_and_clear_text_has_neither() -> None:
    served = Served()
    cookie = {"cookie": f"{COOKIE}={TOKEN}", "sec_fetch_site": "same-origin"}
    assert (await served.ask("DELETE", "/api/session", authorization="Bearer wrong", **cookie))[0] == 401
    assert (await served.ask("DELETE", "/api/session", scheme="http", **cookie))[0] == 403
    assert served.accounts.revoked == []


@given(st.text(st.characters(max_codepoint=255)))
async def test_whatever_a_cookie_says_is_a_session_or_none(text: str) -> None:
    served = Served()
    status, _, _ = await served.ask("DELETE", "/api/session", cookie=text, sec_fetch_site="same-origin")
    assert status == 401
    assert served.accounts.revoked == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>page</p>" * 100)
    (tmp_path / "assets" / "a-1.js").write_text("let a = 1\n" * 100)
    (tmp_path / "assets" / "notes.txt").write_text("not of a build")
    (tmp_path / "secret.js").write_text("not below assets")
    return tmp_path


async def test_files_are_served_packed_and_kept_and_the_page_is_asked_for_anew(root: Path) -> None:
    served = Served(root)
    status, headers, body = await served.ask("GET", "/", accept_encoding="gzip, br")
    assert (status, gzip.decompress(body), headers[b"cache-control"]) == (200, b"<p>page</p>" * 100, b"no-cache")
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert (headers[b"x-content-type-options"], headers[b"referrer-policy"]) == (b"nosniff", b"no-referrer")
    status, headers, body = await served.ask("GET", "/assets/a-1.js")
    assert (status, body, headers[b"content-type"]) == (200, b"let a = 1\n" * 100, b"text/javascript; charset=utf-8")
    assert b"immutable" in headers[b"cache-control"]
    tag = headers[b"etag"].decode()
    status, headers, body = await served.ask("GET", "/assets/a-1.js", if_none_match=f'"x", {tag}')
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/assets/notes.txt", "/assets/", "/assets/../secret.js", "/secret.js", "/assets/%2e%2e/secret.js"]
)
async def test_nothing_else_is_served(root: Path, path: str) -> None:
    assert (await Served(root).ask("GET", path))[0] == 404


async def test_without_a_build_there_is_no_page_and_a_broken_one_is_not_started_with(tmp_path: Path) -> None:
    assert (await Served().ask("GET", "/"))[0] == 404
    with pytest.raises(StartupError, match=r"index\.html"):
        pages_of(tmp_path)
