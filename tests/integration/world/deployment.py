"""A deployment of ours in a namespace: the embedded stack, with the ports that the world knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.integration.world.authority import Authority, Pair
from tests.integration.world.namespaces import NETWORK, RESOLVER, Namespace

from petitbleu_dev.stack import Stack

PASSWORD: Final = "petit-bleu-test"


class HostedStack(Stack):
    """An embedded stack whose processes all live in a namespace."""

    def __init__(self, host: Namespace, offset: int, environment: dict[str, str]) -> None:
        # SeaweedFS has sockets in /tmp by its ports, so two stacks need two offsets although each has the loopback to itself
        super().__init__(host.directory / "data", port_offset=offset, environment=environment)
        self._host = host

    def command(self) -> list[str]:
        """What starts it."""
        return self._host.enter(*super().command())


class Deployment:
    """One operator: a domain, its exchanger `mx.<domain>`, its policy host, people.

    Args:
        host: Its namespace.
        domain: The domain that it hosts.
        authority: Signs its certificate.
        offset: Of its ports but 25 and 443.
    """

    def __init__(self, host: Namespace, domain: str, authority: Authority, offset: int) -> None:
        self.host = host
        self.domain = domain
        self.mx = f"mx.{domain}"
        self.policy_host = f"mta-sts.{domain}"
        self.stack = HostedStack(
            host,
            offset,
            {
                "PETITBLEU_SMTP_HOST": "0.0.0.0",  # of the namespace, which holds nothing else
                "PETITBLEU_SMTP_PORT": "25",
                "PETITBLEU_SMTP_HOSTNAME": self.mx,
                "PETITBLEU_HTTP_HOST": "0.0.0.0",
                "PETITBLEU_HTTPS_PORT": str(443 - offset),
                "PETITBLEU_MX_NAMES": self.mx,
                "PETITBLEU_SENDING_ADDRESSES": host.address,
                "PETITBLEU_DNS": f"{RESOLVER}:53",
                "PETITBLEU_DNS_VALIDATES": "1",
                "PETITBLEU_CA_FILE": str(authority.file),
                "PETITBLEU_EGRESS_ALLOW": f"{NETWORK}.0/24",
                "PETITBLEU_EGRESS_PORTS": "25,443",
                "PETITBLEU_OUTBOUND_FIRST_RETRY_SECONDS": "5",
            },
        )
        self.certificate: Pair = authority.install(self.stack.layout.tls, self.mx, self.policy_host, "localhost")

    @property
    def http(self) -> str:
        """Where its people reach it."""
        return f"http://127.0.0.1:{self.stack.port('http')}"

    def start(self) -> None:
        """Start the stack without waiting."""
        self.stack.start()

    def begin(self, *people: str) -> None:
        """Wait until it runs; make the domain and people."""
        self.stack.wait_ready()
        self.cli("tenant", "create", "world")
        self.cli("domain", "create", self.domain, "--tenant", "world")
        for person in people:
            self.cli("account", "create", f"{person}@{self.domain}", "--password", PASSWORD)

    def cli(self, *arguments: str) -> str:
        """Run the operator's command line; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "petitbleu_cli", *arguments],
            env={**os.environ, "PETITBLEU_DATA": str(self.stack.layout.data)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"petitbleu {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def send(self, person: str, recipient: str, token: str, *options: str) -> None:
        """Submit a message as a mail program does, over STARTTLS with a password."""
        address = f"{person}@{self.domain}"
        self.host.run(
            "swaks", "--server", "127.0.0.1", "--port", str(self.stack.port("submission")), "--tls", "--auth", "PLAIN", "--auth-user", address,
            "--auth-password", PASSWORD, "--from", address, "--to", recipient, "--h-Subject", token,
            "--body", f"From {self.domain}: {token}", *options,
        )  # fmt: skip

    def jmap(self, person: str, calls: Sequence[Any]) -> list[Any]:
        """Make JMAP calls as a person; the answers."""
        using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
        answer = self.host.run(
            "curl", "--silent", "--fail", "--user", f"{person}@{self.domain}:{PASSWORD}",
            "--header", "Content-Type: application/json",
            "--data", json.dumps({"using": using, "methodCalls": calls}), f"{self.http}/jmap/api",
        )  # fmt: skip
        responses: list[Any] = json.loads(answer)["methodResponses"]
        return responses

    def account_id(self, person: str) -> str:
        """A person's JMAP account."""
        answer = self.host.run(
            "curl", "--silent", "--fail", "--location", "--user", f"{person}@{self.domain}:{PASSWORD}",
            f"{self.http}/.well-known/jmap",
        )  # fmt: skip
        return str(json.loads(answer)["primaryAccounts"]["urn:ietf:params:jmap:mail"])

    def mails(self, person: str, token: str) -> list[Any]:
        """The messages of a person with this subject, with what tells of their authentication."""
        account = self.account_id(person)
        found = self.jmap(
            person,
            [
                ["Email/query", {"accountId": account, "filter": {"subject": token}}, "q"],
                [
                    "Email/get",
                    {
                        "accountId": account,
                        "#ids": {"resultOf": "q", "name": "Email/query", "path": "/ids"},
                        "properties": [
                            "subject", "from", "mailboxIds", "preview", "header:Authentication-Results:asText:all",
                            "header:Received:asRaw:all", "header:DKIM-Signature:asRaw:all",
                        ],
                    },
                    "g",
                ],
            ],
        )  # fmt: skip
        return list(found[1][1]["list"])

    def wait_for(self, person: str, token: str, seconds: float = 60) -> Any:
        """Wait for the one message with this subject."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.mails(person, token)
            if found:
                assert len(found) == 1, f"{token} came {len(found)} times"
                return found[0]
            assert time.monotonic() < deadline, f"{token} did not come to {person}@{self.domain}\n{self.logs()}"
            time.sleep(0.3)

    def logs(self) -> str:
        """The end of what the services that carry mail logged."""
        parts = []
        for service in ("ingest", "delivery"):
            file: Path = self.stack.layout.log(service)
            if file.exists():
                parts.append(f"{service}: {file.read_text(errors='replace')[-3000:]}")
        return "\n".join(parts)
