"""Debian's `sieve-test` (Pigeonhole) and our evaluator, asked the same; their answers in one form."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from petitbleu_mail.sieve.actions import Action, Discard, FileInto, Keep, Notify, Redirect, Reject, Vacation
from petitbleu_mail.sieve.faults import SieveSyntaxError
from petitbleu_mail.sieve.message import Envelope, ParsedView
from petitbleu_mail.sieve.notifying import parse_mailto
from petitbleu_mail.sieve.script import compile_script, evaluate

COMMAND = shutil.which("sieve-test")
NOBODY = 65534
Answer = list[tuple[str, ...]]
"""Sorted: each action with what tells it apart; `invalid` alone where the script does not compile, `error` where it ends in one."""


@dataclass(frozen=True)
class Case:
    """A script and a message. `differs` names the row of docs/sieve.md that explains why the two do not agree."""

    script: str
    message: bytes
    sender: str = "jurgen+work@example.org"
    recipient: str = "ann+list@example.com"
    differs: str = ""


class Pigeonhole:
    """`sieve-test` with a configuration of its own. It opens no mail as root, so there it becomes nobody."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o755)
        self.directory = directory
        mail = directory / "mail"
        mail.mkdir()
        uid, gid = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        if os.geteuid() == 0:
            os.chown(mail, uid, gid)
        self.configuration = directory / "dovecot.conf"
        self.configuration.write_text(
            f"protocols =\nfirst_valid_uid = 1\nmail_uid = {uid}\nmail_gid = {gid}\nmail_home = {directory}\n"
            f"mail_location = maildir:{mail}\nlog_path = /dev/null\nplugin {{\n  sieve_vacation_min_period = 0\n}}\n"
        )

    def answer(self, case: Case) -> Answer:
        """Let `sieve-test` tell what it would do."""
        assert COMMAND is not None
        script, message = self.directory / "case.sieve", self.directory / "case.eml"
        script.write_text(case.script)
        message.write_bytes(case.message)
        done = subprocess.run(
            [COMMAND, "-c", self.configuration, "-C", "-x", "+editheader +vacation-seconds +special-use +index +duplicate",
             "-f", case.sender, "-r", case.recipient, "-a", case.recipient, script, message],
            capture_output=True, check=False, timeout=30,
        )  # fmt: skip
        said = done.stdout.decode()
        if "failed to compile" in done.stderr.decode():
            return [("invalid",)]
        if "Performed actions" not in said:
            assert "failed" in done.stderr.decode(), done.stderr.decode()
            return [("error",)]
        found = sorted(_read(said))
        # It tells of a discard also where other actions are left
        return [one for one in found if one != ("discard",)] or found


def _read(said: str) -> Iterator[tuple[str, ...]]:
    """Read what sieve-test printed."""
    texts = re.findall(r"START MESSAGE\n(.*?)\nEND MESSAGE", said, re.DOTALL)
    said = re.sub(r"START MESSAGE\n.*?\nEND MESSAGE", "", said, flags=re.DOTALL)
    for block in re.split(r"^ \* ", said, flags=re.MULTILINE)[1:]:
        head, *lines = block.split("\n")
        details = dict(re.findall(r"^\s*(?:=>|\+) ([^:\n]*?) *: (.*)$", "\n".join(lines), re.MULTILINE))
        if found := re.fullmatch(r"store message in folder: (.*)", head):
            create = ("create",) if any("create mailbox" in line for line in lines) else ()
            yield ("store", found[1], _flags(details.get("add IMAP flags", "").split()), *create)
        elif found := re.fullmatch(r"redirect message to: <(.*)>", head):
            yield ("redirect", found[1])
        elif head.startswith("discard"):
            yield ("discard",)
        elif found := re.match(r"reject message with reason: (.*)", block, re.DOTALL):
            yield ("reject", found[1].partition("\n\nImplicit")[0].strip())
        elif head.startswith("send vacation"):
            handle = details.get("handle", "")
            handle = "" if "<default-" in handle else handle  # it prints the default that it makes up (RFC 5230 §4.2)
            text = texts.pop(0).replace("\r", "").strip()
            yield ("vacation", text, details.get("subject", ""), details.get("seconds", ""), handle)
        elif head.startswith("send notification"):
            recipients = re.findall(r"\+ (?:To|Cc): (.*)", block)
            yield ("notify", " ".join(recipients), details.get("importance", ""), details.get("subject", ""))
        elif not head.startswith("track duplicate"):  # what our outcome has in `remember`
            raise AssertionError(f"sieve-test said {head!r}")


def _flags(flags: Iterable[str]) -> str:
    """Return flags in order; those of the system know no case (RFC 9051 §2.3.2)."""
    return " ".join(sorted(flag.lower() if flag.startswith("\\") else flag for flag in flags))


def our_answer(case: Case) -> Answer:
    """Tell the same of our evaluator."""
    try:
        script = compile_script(case.script)
    except SieveSyntaxError:
        return [("invalid",)]
    envelope = Envelope(case.sender, case.recipient)
    outcome = evaluate(script, ParsedView(case.message), envelope, now=datetime.now(UTC))
    if outcome.fault is not None:
        return [("error",)]
    return sorted(map(_shown, outcome.actions))


def _shown(action: Action) -> tuple[str, ...]:  # noqa: PLR0911 - one for each action
    match action:
        case Keep():
            return ("store", "INBOX", _flags(action.flags or ()))
        case FileInto():
            create = ("create",) if action.create else ()
            return ("store", action.mailbox, _flags(action.flags or ()), *create)
        case Redirect():
            return ("redirect", action.address)
        case Discard():
            return ("discard",)
        case Reject():
            return ("reject", action.reason.replace("\r", "").strip())
        case Vacation():
            seconds = str(7 * 86_400 if action.seconds is None else action.seconds)  # the default is of who answers
            return (
                "vacation",
                action.reason.replace("\r", "").strip(),
                action.subject or "",
                seconds,
                action.handle or "",
            )
        case Notify():
            mailto = parse_mailto(action.method)
            assert mailto is not None
            return ("notify", " ".join(mailto.recipients), str(action.importance), action.message or "")
