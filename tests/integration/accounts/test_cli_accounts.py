"""The operator's command line as a process, against accounts with a real PostgreSQL, and an SMTP door that takes notes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from petitbleu.accounts.v1 import accounts_pb2


@pytest.fixture
def petitbleu(world: Any) -> Any:
    """Run the command line; give its exit status, standard output and standard error."""

    async def run(*arguments: str, given: str = "", **environment: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "petitbleu_cli", *arguments, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PETITBLEU_")},
                "PETITBLEU_DATA": str(world.settings.data), "PETITBLEU_RUN_DIR": str(world.settings.data), **environment,
            },
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(given.encode()), 60)
        assert b"Traceback" not in err
        return process.returncode or 0, out.decode(), err.decode()

    return run


async def test_an_operator_sets_a_tenant_up(world: Any, petitbleu: Any) -> None:
    for line in ("tenant create school", "domain create école.example --tenant school"):
        assert (await petitbleu(*line.split()))[0] == 0
    status, out, _ = await petitbleu(
        "account", "create", "head@école.example", "--password-stdin", "--name", "La Directrice", "--quota", "2G",
        "--role", "tenant-admin", "--json", given="un mot de passe\n",
    )  # fmt: skip
    made = json.loads(out)
    assert status == 0
    assert (made["address"], made["quota_octets"], made["roles"]) == (
        "head@xn--cole-9oa.example", 2 << 30, ["person", "tenant-admin"],
    )  # fmt: skip
    assert (await world.authenticate(login="head@école.example", password="un mot de passe")).principal
    status, out, _ = await petitbleu(
        "account", "create", "p%d@école.example", "--count", "2500", "--no-password", "--json"
    )
    assert status == 0
    assert json.loads(out)["made"] == 2500
    status, out, _ = await petitbleu("account", "list", "--domain", "école.example", "--limit", "5000", "--json")
    assert {row["address"].partition("@")[0] for row in json.loads(out)} == {"head", *(f"p{n}" for n in range(2500))}
    for line in (
        "account disable p1@école.example",
        "account enable p1@école.example",
        "account quota p1@école.example none",
        "account password p1@école.example --password something-new",
        "alias put staff@école.example head@école.example p1@école.example",
        "domain catch-all école.example --address head@école.example",
        "domain catch-all école.example --clear",
        "alias delete staff@école.example",
        "account close p2@école.example",
    ):
        status, out, err = await petitbleu(*line.split())
        assert (status, err) == (0, ""), line
        assert out.count("\n") == 1
        if line.startswith("alias put"):
            status, out, _ = await petitbleu("alias", "list", "--domain", "école.example", "--json")
            (alias,) = json.loads(out)
            assert (alias["address"].partition("@")[0], len(alias["members"].split())) == ("staff", 2)
    status, out, _ = await petitbleu("account", "app-password", "p1@école.example", "--protocol", "imap")
    assert (await world.authenticate(login="p1@école.example", password=out.strip(), protocol="imap")).principal
    assert (await petitbleu("domain", "list"))[1].splitlines()[-1].startswith("école.example")


async def test_a_guarded_child_from_the_command_line(world: Any, petitbleu: Any) -> None:
    await petitbleu("account", "create", "mum@one.test", "--no-password")
    status, _, err = await petitbleu("account", "create", "kid@one.test", "--no-password", "--guarded")
    assert status == 1
    assert "guardian" in err
    line = "account create kid@one.test --no-password --guarded --guardian mum@one.test"
    assert (await petitbleu(*line.split()))[0] == 0
    assert (await world.resolve("kid@one.test"))[0].targets[0].guarded


async def test_failures_are_one_line_and_exit_1(world: Any, petitbleu: Any) -> None:
    await petitbleu("account", "create", "a@one.test", "--no-password")
    for line, word in (
        ("tenant create one", "name"),
        ("domain create x.test --tenant nobody", "tenant"),
        ("account create a@one.test --no-password", "taken"),
        ("account create a@none.test --no-password", "hosted"),
        ("account create b@one.test --count 3 --no-password", "%d"),
        ("account create b@one.test --password short", "8 characters"),
        ("account quota nobody@one.test 5", "no account"),
        ("alias put x@one.test nobody@one.test", "member"),
        ("junior approve a@one.test b@example.org", "child"),
        ("trace", "--from"),
        ("store status", "store"),
    ):
        status, out, err = await petitbleu(*line.split())
        assert (status, out, err.count("\n")) == (1, "", 1), line
        assert err.startswith("petitbleu: ")
        assert word in err
    status, out, _ = await petitbleu("tenant", "list", "--json", PETITBLEU_OPERATOR_TOKEN="wrong")
    assert status == 1
    assert "token" in json.loads(out)["error"]
    status, _, err = await petitbleu("tenant", "list", PETITBLEU_ACCOUNTS_TARGET="unix:/nowhere/at/all.sock")
    assert (status, err.count("\n")) == (1, 1)
    assert "running" in err


class Door:
    """An SMTP door that keeps what it is sent; it says "later" once, and breaks a connection once."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.troubles = ["451", "hang up"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        sender = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-here\r\n250 8BITMIME\r\n")
            elif verb == b"MAIL":
                sender = line.decode().partition("<")[2].partition(">")[0]
                writer.write(b"250 2.1.0 yes\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                if len(self.messages) in {30, 60} and self.troubles:
                    if self.troubles.pop() == "hang up":
                        break
                    writer.write(b"451 4.3.1 later\r\n")
                    continue
                self.messages.append((sender, data[:-3].replace(b"\r\n..", b"\r\n.")))
                writer.write(b"250 2.0.0 kept\r\n")
            else:
                writer.write(b"250 2.0.0 yes\r\n" if verb != b"QUIT" else b"221 2.0.0 bye\r\n")
        writer.close()


@pytest.fixture
async def door() -> AsyncIterator[tuple[Door, str]]:
    door = Door()
    server = await asyncio.start_server(door.serve, "127.0.0.1", 0, limit=1 << 20)
    yield door, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_the_demo_loads_once_whatever_happens(world: Any, petitbleu: Any, door: tuple[Door, str]) -> None:
    notes, address = door
    status, out, err = await petitbleu("demo", "load", "--smtp", address, "--json")
    assert (status, err) == (0, "")
    first = json.loads(out)
    assert (first["accounts_made"], first["messages_sent"]) == (6, 300)
    ids = [octets.partition(b"Message-ID: ")[2].partition(b"\r\n")[0] for _, octets in notes.messages]
    assert len(set(ids)) == len(ids) == 300
    assert any(b"\r\n...\r\n" in octets for _, octets in notes.messages)  # a line of dots comes through
    again = json.loads((await petitbleu("demo", "load", "--smtp", address, "--json"))[1])
    assert (again["accounts_made"], again["messages_sent"]) == (0, 0)
    assert again["alice_app_password"] == first["alice_app_password"]
    who = await world.authenticate(login="alice@demo.test", password=first["alice_app_password"], protocol="imap")
    assert accounts_pb2.ROLE_GUARDIAN in who.account.roles
    assert (await world.authenticate(login="zoe@demo.test", password="petit-bleu-demo")).account.guarded
    # what was cut off half way goes on where it stopped
    await world.sql("DELETE FROM tenant_mark WHERE name = 'mail-0275'")
    third = json.loads((await petitbleu("demo", "load", "--smtp", address, "--json"))[1])
    assert third["messages_sent"] == 25
    await world.sql("DELETE FROM tenant_mark")
    status, _, err = await petitbleu("demo", "load", "--smtp", "127.0.0.1:9")
    assert (status, err.count("\n")) == (1, 1)
    assert "SMTP door" in err
