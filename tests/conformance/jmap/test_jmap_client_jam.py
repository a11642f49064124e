"""A day in the life of jmap-jam, a JMAP client of others (npm), unmodified: by HTTPS, with a bearer session."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_client import JmapClient

FOLDER = Path(__file__).parents[2] / "clients"
NODE = shutil.which("node")


def day(server: JmapServer, jmap: JmapClient, email: str) -> dict[str, Any]:
    if NODE is None or not (FOLDER / "node_modules" / "jmap-jam").is_dir():
        pytest.skip("jmap-jam is not there: node is needed, and `npm ci` in tests/clients")
    token = jmap.http.post("/api/session", json={"label": "jam"}).json()["token"]
    told = {
        "JAM_SESSION_URL": f"https://{server.secure}/.well-known/jmap", "JAM_TOKEN": token, "JAM_EMAIL": email,
        "NODE_EXTRA_CA_CERTS": str(server.authority),
    }  # fmt: skip
    done = subprocess.run(
        [NODE, "jam_day.mjs"], cwd=FOLDER, env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_rfc8620_1_jam_lives_a_day(server: JmapServer, jmap: JmapClient) -> None:
    email = jmap.mail(subject="Hello jam", body="Bonjour\r\n")
    thread = jmap.get(email, "threadId")["threadId"]
    seen = day(server, jmap, email)
    assert seen["session"] == {"accountId": jmap.account, "username": jmap.login}
    assert seen["read"] == {
        "ids": [email], "subject": "Hello jam", "from": [{"name": "Anna", "email": "anna@x.example"}],
        "to": [{"name": None, "email": jmap.login}], "text": "Bonjour\n", "thread": [email],
    }  # fmt: skip
    assert jmap.call("Thread/get", ids=[thread])["list"][0]["emailIds"] == [email]
    assert seen["search"] == {"found": [email], "total": 0}
    assert seen["pushed"]["@type"] == "StateChange"
    assert set(seen["pushed"]["changed"]) == {jmap.account}
    assert seen["moved"] == {"updated": {email: None}, "changed": [email], "state": True}
    assert seen["imported"] == {
        "type": "message/rfc822", "size": True, "notCreated": None, "createdIds": True, "twice": "alreadyExists"
    }  # fmt: skip
    assert seen["draft"]["subject"] == "Brouillon"
    assert seen["draft"]["hasAttachment"] is True
    assert seen["draft"]["name"] == "lettre.eml"
    assert seen["draft"]["same"] is True
    assert seen["draft"]["type"].startswith("text/plain")
    assert "lettre.txt" in seen["draft"]["disposition"]
    assert seen["destroyed"] == {"destroyed": 1, "notDestroyed": "notFound"}
    assert seen["errors"] == ["accountNotFound", "invalidArguments"]
