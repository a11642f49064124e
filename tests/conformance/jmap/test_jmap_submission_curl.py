"""What docs/submission.md shows is true: curl sends mail."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conformance.jmap.test_jmap_submission_set import eventually, identity, on_stack, shown, subjects
from tests.conformance.jmap_client import JmapClient

PAGE = Path(__file__).parents[3] / "docs" / "submission.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="NO CURL on this machine")
def test_rfc8621_7_curl_sends_as_the_page_says(jmap: JmapClient, jmap_other: JmapClient) -> None:
    found = re.search(r"^curl .*?\}'$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    command = found[0]
    for word, own in (
        ("alice@demo.test:petit-bleu-demo", f"{jmap.login}:{jmap.password}"), ("alice@demo.test", jmap.login),
        ("bob@demo.test", jmap_other.login), ("zoe@demo.test", jmap_other.login), ("http://localhost:8080", jmap.url),
        ("ACCOUNT", jmap.account), ("IDENTITY", identity(jmap)), ("DRAFTS", jmap.mailbox("drafts")), ("SENT", jmap.mailbox("sent")),
        ('"HOLDFOR": "10"', '"HOLDFOR": "2"'),
    ):  # fmt: skip
        assert word in command
        command = command.replace(word, own)
    done = subprocess.run(shlex.split(command), capture_output=True, check=True, timeout=60)
    draft, sending, implied = json.loads(done.stdout)["methodResponses"]
    assert sending[1]["created"]["sending"]["undoStatus"] == "pending", sending
    email = draft[1]["created"]["draft"]["id"]
    assert implied[0] == "Email/set"
    assert jmap.get(email, "mailboxIds")["mailboxIds"] == {jmap.mailbox("sent"): True}
    if on_stack(jmap):
        eventually(lambda: "Tonight" in subjects(jmap_other))
        made = sending[1]["created"]["sending"]["id"]
        assert eventually(lambda: shown(jmap, made)["undoStatus"] == "final")
