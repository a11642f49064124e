"""A JMAP client that shows everything: it sends what it is told and hides no answer."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

CORE = "urn:ietf:params:jmap:core"
MAIL = "urn:ietf:params:jmap:mail"
BLOB = "urn:ietf:params:jmap:blob"
UNDO = "urn:uuid:f1894e8f-9abe-4383-9899-282ca330f7e4"
QUOTA = "urn:ietf:params:jmap:quota"
SUBMISSION = "urn:ietf:params:jmap:submission"
MDN = "urn:ietf:params:jmap:mdn"
SIEVE = "urn:ietf:params:jmap:sieve"
VACATION = "urn:ietf:params:jmap:vacationresponse"

USING = (CORE, MAIL, BLOB, QUOTA, SUBMISSION, MDN, UNDO, SIEVE, VACATION)

_numbers = itertools.count(1)


def basic(login: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


@dataclass
class JmapClient:
    """One person at one server.

    Whoever makes it sets `put`, which delivers a message and returns its Email id, `limit`, which sets the octets that the account
    may hold, and `alias`, which gives the person one more address and returns it.
    """

    url: str
    login: str
    password: str

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, headers=basic(self.login, self.password), timeout=30)
        answer = self.http.get("/.well-known/jmap", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        self.session: dict[str, Any] = answer.json()
        self.put: Callable[[bytes], str]
        self.limit: Callable[[int], object]
        self.alias: Callable[[], str]
        self.account: str = self.session["primaryAccounts"][MAIL]

    def post(self, body: Any, content_type: str = "application/json") -> httpx.Response:
        """Send a request body: octets as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(self.session["apiUrl"], content=data, headers={"Content-Type": content_type})

    def run(self, *calls: list[Any], using: tuple[str, ...] = USING, **members: Any) -> dict[str, Any]:
        """Run calls and return the whole Response."""
        answer = self.post({"using": list(using), "methodCalls": list(calls), **members})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def responses(self, *calls: list[Any], **members: Any) -> list[Any]:
        found: list[Any] = self.run(*calls, **members)["methodResponses"]
        return found

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Run one call that must succeed, for our account unless told otherwise."""
        name, result, _ = self.responses([method, {"accountId": self.account, **arguments}, "c"])[0]
        assert name == method, result
        found: dict[str, Any] = result
        return found

    def fails(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Run one call that must fail, and return its error."""
        name, result, _ = self.responses([method, {"accountId": self.account, **arguments}, "c"])[0]
        assert name == "error", result
        found: dict[str, Any] = result
        return found

    def mailbox(self, role: str) -> str:
        found = self.call("Mailbox/get", ids=None, properties=["role"])["list"]
        return str(next(mailbox["id"] for mailbox in found if mailbox["role"] == role))

    def get(self, email_id: str, *properties: str, **arguments: Any) -> dict[str, Any]:
        """Return one Email."""
        found = self.call("Email/get", ids=[email_id], properties=list(properties) or None, **arguments)
        assert found["notFound"] == []
        email: dict[str, Any] = found["list"][0]
        return email

    def mail(self, subject: str = "", body: str = "Hello\r\n", fields: str = "", message_id: str = "") -> str:
        """Deliver a plain message."""
        number = next(_numbers)
        text = (
            f"From: Anna <anna@x.example>\r\nTo: {self.login}\r\nSubject: {subject or f'Number {number}'}\r\n"
            f"Message-ID: <{message_id or f'{number}.{id(self)}@x.example'}>\r\n"
            f"Date: Tue, 1 Jul 2025 10:00:00 +0200\r\n{fields}\r\n{body}"
        )
        return self.put(text.encode())

    def draft(self, **properties: Any) -> dict[str, Any]:
        """Create a draft and return what the server set."""
        email = {"mailboxIds": {self.mailbox("drafts"): True}, **properties}
        result = self.call("Email/set", create={"d": email})
        assert result["notCreated"] is None, result["notCreated"]
        created: dict[str, Any] = result["created"]["d"]
        return created

    def refused(self, **properties: Any) -> dict[str, Any]:
        """Try to create a draft that must be refused, and return its SetError."""
        email = {"mailboxIds": {self.mailbox("drafts"): True}, **properties}
        result = self.call("Email/set", create={"d": email})
        assert result["created"] is None
        error: dict[str, Any] = result["notCreated"]["d"]
        return error

    def post_upload(self, data: Any, kind: str = "application/octet-stream", **headers: str) -> httpx.Response:
        """Upload octets, or pieces of which the length is not said."""
        url = self.session["uploadUrl"].replace("{accountId}", self.account)
        return self.http.post(url, content=data, headers={"Content-Type": kind, **headers})

    def upload(self, data: Any, kind: str = "application/octet-stream") -> str:
        """Upload octets and return the id of the blob."""
        answer = self.post_upload(data, kind)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["blobId"])

    def download(self, blob_id: str, name: str = "file", kind: str = "", **headers: str) -> httpx.Response:
        url = self.session["downloadUrl"].replace("{accountId}", self.account).replace("{blobId}", blob_id)
        url = url.replace("{name}", name).replace("{type}", kind)
        return self.http.get(url, headers=headers)
