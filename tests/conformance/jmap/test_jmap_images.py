"""The image proxy (docs/rest.md): images from elsewhere come only to who asked, only as pictures, and tell nobody who asks."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap.test_jmap_rendering import GIF, mail, rendered
from tests.conformance.jmap_client import JmapClient

from petitbleu_gateway.domain.image_urls import ImageKeys


@dataclass
class Elsewhere:
    """A web server whose pictures mail shows; it remembers what it was asked with."""

    port: int
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def elsewhere(jmap_contract: JmapServer) -> Iterator[Elsewhere]:
    found = Elsewhere(jmap_contract.pictures_port)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append({name.lower(): value for name, value in self.headers.items()} | {"": self.path})
            path = self.path.partition("?")[0]
            if path == "/redirect":
                self.send_response(302)
                self.send_header("Location", "/a.gif")
                self.end_headers()
                return
            if path == "/inside":
                self.send_response(302)
                self.send_header("Location", f"http://10.0.0.1:{found.port}/a.gif")
                self.end_headers()
                return
            body = {
                "/a.gif": GIF,
                "/a.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>",
                "/a.html": b"<script>x()</script>",
            }.get(path)
            self.send_response(200 if body or path in {"/huge", "/slow"} else 404)
            self.send_header("Content-Type", "image/gif")
            self.send_header("Set-Cookie", "a=b")
            self.end_headers()
            with contextlib.suppress(OSError):
                if path == "/huge":
                    for _ in range(400):
                        self.wfile.write(GIF + bytes(65_536))
                elif path == "/slow":
                    self.wfile.write(GIF[:20])
                    time.sleep(1)
                    self.wfile.write(GIF[20:])
                else:
                    self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", found.port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def person(jmap_contract: JmapServer) -> Iterator[JmapClient]:
    client = jmap_contract.newcomer()
    yield client
    client.http.close()


def signed(client: JmapClient, url: str) -> str:
    """Return the address that a rendering gives an image."""
    found = rendered(client, client.put(mail("text/html", f'<img src="{url}">'.encode())), images="proxy")
    assert (found["images"]["mode"], found["images"]["count"]) == ("proxied", 1)
    source = re.search(r'src="([^"]+)"', found["html"])
    assert source is not None, found["html"]
    return unescape(source[1])


def test_an_image_comes_by_the_proxy_and_nothing_goes_along(person: JmapClient, elsewhere: Elsewhere) -> None:
    url = signed(person, f"{elsewhere.origin}/a.gif?id=1&x=%20")
    assert elsewhere.asked == []
    assert url.startswith(f"{person.url}/api/images/{person.account}/")
    answer = httpx.get(url, headers={"Cookie": "s=1", "Referer": "https://mail.example/"})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, GIF, "image/gif")
    (asked,) = elsewhere.asked
    assert asked[""] == "/a.gif?id=1&x=%20"
    assert not {"cookie", "referer", "authorization", "x-forwarded-for", "forwarded", "accept-language"} & set(asked)
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["cache-control"].startswith("private, max-age=")
    assert "set-cookie" not in answer.headers
    assert httpx.get(signed(person, f"{elsewhere.origin}/redirect")).content == GIF
    assert httpx.get(signed(person, f"{elsewhere.origin}/slow")).content == GIF


def test_remote_images_are_held_back_until_somebody_asks(person: JmapClient, elsewhere: Elsewhere) -> None:
    email = person.put(
        mail("text/html", f'<img src="{elsewhere.origin}/a.gif"><table background=//x.example/b>'.encode())
    )
    for choices in ({}, {"images": "ask"}):
        found = rendered(person, email, **choices)
        assert found["images"] == {"mode": "held", "count": 2, "expiresAt": None}
        assert f'<img data-remote-src="{elsewhere.origin}/a.gif">' in found["html"]
        assert "/api/images/" not in found["contentSecurityPolicy"]
    assert f"{person.url}/api/images/" in rendered(person, email, images="proxy")["contentSecurityPolicy"]
    assert elsewhere.asked == []


def test_a_child_never_gets_remote_images(jmap_contract: JmapServer, elsewhere: Elsewhere) -> None:
    child = jmap_contract.newcomer("child")
    found = rendered(
        child, child.put(mail("text/html", f'<img src="{elsewhere.origin}/a.gif">'.encode())), images="proxy"
    )
    assert found["images"] == {"mode": "never", "count": 1, "expiresAt": None}
    assert "/api/images/" not in found["html"] + found["contentSecurityPolicy"]
    child.http.close()


@pytest.mark.parametrize(("path", "status"), [("/a.svg", 415), ("/a.html", 415), ("/none", 404), ("/inside", 404)])
def test_only_pictures_come(person: JmapClient, elsewhere: Elsewhere, path: str, status: int) -> None:
    answer = httpx.get(signed(person, elsewhere.origin + path))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    "url",
    ["http://192.168.0.1/a.gif", "http://169.254.169.254/latest", "http://[::1]/a", "https://localhost.invalid/a"],
)
def test_nothing_behind_our_walls_is_reached(person: JmapClient, url: str) -> None:
    assert httpx.get(signed(person, url)).status_code == 404


def test_an_image_without_end_is_cut_off(person: JmapClient, elsewhere: Elsewhere) -> None:
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("GET", signed(person, f"{elsewhere.origin}/huge")) as answer,
    ):
        assert answer.status_code == 200
        for _ in answer.iter_raw():
            pass


def test_only_what_was_signed_is_fetched(person: JmapClient, jmap_contract: JmapServer, elsewhere: Elsewhere) -> None:
    other = jmap_contract.newcomer()
    url = signed(person, f"{elsewhere.origin}/a.gif")
    path, _, query = url.partition("?")
    start, account, expires, mac = path.rsplit("/", 3)
    for wrong in (
        f"{path}?url=http%3A%2F%2F127.0.0.1%2Fb.gif", f"{start}/{other.account}/{expires}/{mac}?{query}", f"{path}?{query}&url=x",
        f"{start}/{account}/{int(expires) + 3600}/{mac}?{query}", f"{start}/{account}/{expires}/{mac[:-1]}?{query}", path, f"{path}?{query}%00",
        f"{start}/{account}/{expires}/{mac}/?{query}", f"{start}/rubbish?{query}",
    ):  # fmt: skip
        assert httpx.get(wrong).status_code == 404, wrong
    assert elsewhere.asked == []
    assert httpx.post(url).status_code == 405
    other.http.close()


def test_an_address_that_has_expired_is_gone(person: JmapClient, jmap_contract: JmapServer) -> None:
    keys = ImageKeys(jmap_contract.identity_key.read_bytes())
    old = keys.signer(person.url, person.account, int(time.time()) - 1).url("http://x.example/a.gif")
    assert httpx.get(old).status_code == 410
    another = (
        ImageKeys(b"another key").signer(person.url, person.account, int(time.time()) + 99).url("http://x.example/a")
    )
    assert httpx.get(another).status_code == 404


def test_somebody_who_wants_too_many_images_waits(person: JmapClient, elsewhere: Elsewhere) -> None:
    url = signed(person, f"{elsewhere.origin}/none")
    with httpx.Client() as http:
        statuses = [http.get(url).status_code for _ in range(45)]
    assert set(statuses) == {404, 429}
    assert statuses[:40] == [404] * 40
