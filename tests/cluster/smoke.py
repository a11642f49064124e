"""A mail comes in by SMTP and is read over JMAP, on a chart that is installed: run inside the cluster's network.

Standard library only, for any python3 may run it: `cluster k python3 tests/cluster/smoke.py RELEASE NAMESPACE`. It prints the subject that
it read, or ends with what went wrong. It makes a tenant, a domain and an account of its own, by the operator's command line in the pod of accounts.
"""

from __future__ import annotations

import base64
import json
import secrets
import smtplib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from email.message import EmailMessage
from typing import Any

SECONDS = 120
"""Time for the pods' first contacts (policies, name service) and for the message."""


def office(namespace: str, release: str, *words: str) -> None:
    """Run a command of the operator; that a thing exists already is no failure."""
    command = [
        "kubectl",
        "--namespace",
        namespace,
        "exec",
        f"deploy/{release}-accounts",
        "--",
        "env",
        "PETITBLEU_ACCOUNTS_TARGET=127.0.0.1:9000",
    ]
    done = subprocess.run([*command, "petitbleu", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"petitbleu {words[0]} {words[1]}: {done.stderr.strip() or done.stdout.strip()}")


def doors(namespace: str, release: str) -> ssl.SSLContext:
    """Trust the certificate that the job of the chart made, and no other; passwords are taken over TLS only."""
    command = [
        "kubectl",
        "--namespace",
        namespace,
        "get",
        "secret",
        f"{release}-tls",
        "--output",
        r"jsonpath={.data.tls\.crt}",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    context = ssl.create_default_context(cadata=base64.b64decode(found).decode())
    context.check_hostname = False  # it is for the names of the outside, and we come by the service's
    return context


def jmap(context: ssl.SSLContext, origin: str, login: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the gateway as a person."""
    headers = {
        "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
        "Content-Type": "application/json",
    }
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(
        urllib.request.Request(origin + path, data, headers), timeout=20, context=context
    ) as answer:
        return json.load(answer)


def subjects(context: ssl.SSLContext, origin: str, login: str) -> list[str]:
    """Subjects of all mail of an account (RFC 8621 §4.4, §4.2)."""
    session = jmap(context, origin, login, "/.well-known/jmap")
    account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
    reference = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
    calls = [
        ["Email/query", {"accountId": account}, "0"],
        ["Email/get", {"accountId": account, "#ids": reference, "properties": ["subject"]}, "1"],
    ]
    using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
    answer = jmap(
        context, origin, login, urllib.parse.urlsplit(session["apiUrl"]).path, {"using": using, "methodCalls": calls}
    )
    return [each["subject"] for each in answer["methodResponses"][1][1]["list"]]


def main() -> int:
    """Make an account, send it a mail, and wait until it is read."""
    release, namespace = sys.argv[1:]
    mark = secrets.token_hex(6)
    domain, password = f"smoke-{mark}.test", secrets.token_hex(16)
    office(namespace, release, "tenant", "create", f"smoke-{mark}")
    office(namespace, release, "domain", "create", domain, "--tenant", f"smoke-{mark}")
    office(namespace, release, "account", "create", f"reader@{domain}", "--password", password)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "sender@peer.test", f"reader@{domain}", f"smoke {mark}"
    message.set_content("Across Paris in minutes.\n")
    deadline = time.monotonic() + SECONDS
    context, sent = doors(namespace, release), False
    failure = "nothing was tried"
    while time.monotonic() < deadline:
        try:
            if not sent:
                with smtplib.SMTP(f"{release}-smtp.{namespace}.svc.cluster.local", 25, timeout=30) as peer:
                    peer.send_message(message)
                sent = True
            if f"smoke {mark}" in subjects(
                context, f"https://{release}-http.{namespace}.svc.cluster.local", f"reader@{domain}:{password}"
            ):
                print(f"read: smoke {mark}")
                return 0
            failure = "the mail was accepted and is not there"
        except (OSError, smtplib.SMTPException, urllib.error.URLError) as error:
            failure = f"{type(error).__name__}: {error}"
        time.sleep(1)
    raise SystemExit(failure)


if __name__ == "__main__":
    raise SystemExit(main())
