"""Every message of the shared data, whole and mutated, against the parse of another parser where there is one."""

from __future__ import annotations

import functools
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from petitbleu_mail.mime import Part, part_content, part_text, scan
from petitbleu_mail.structure import decode_meta, encode_meta, parse_message
from petitbleu_mail.threading import thread_keys

DATA = Path(os.environ.get("PETITBLEU_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
MESSAGES = sorted(
    path
    for folder in ("mime", "dkim", "spam")
    for path in (DATA / folder).rglob("*")
    if path.is_file()
    and path.suffix != ".json"
    and path.name not in {"LICENSE", "NOTICE"}
    and "LICENSES" not in path.parts
)
PARSED = [path for path in MESSAGES if path.with_suffix(".json").exists()]

needs_data = pytest.mark.skipif(not MESSAGES, reason=f"NO TEST DATA in {DATA}: set PETITBLEU_TEST_DATA")

# Where we read a malformed message otherwise than the other parser, and why.
EXPLAINED = {
    "legacy/049": "the other parser's copy of the message is an octet shorter",
    "malformed/000": "parts that consist of a header only are parts too",
    "malformed/001": "the outer delimiter ends the inner multipart (RFC 2046 §5.1.2), though its text begins like the inner one",
    "malformed/002": "a multipart without a boundary is shown as text, not hidden as an attachment",
    "malformed/003": "of two multiparts with one boundary we give the parts to the outer one",
    "malformed/004": "a delimiter is the whole line: --ab is none of boundary a",
    "malformed/006": "a multipart whose boundary never comes is shown as text",
    "malformed/007": "a delimiter ends a header without blank line",
    "malformed/008": "the outer delimiter ends the inner multipart's range",
    "malformed/009": "the outer delimiter ends the inner multipart's range",
    "malformed/011": "the outer delimiter ends the inner multipart's range",
    "malformed/012": "the outer delimiter ends the inner multipart's range",
    "malformed/013": "of multiparts with one boundary we give the parts to the outer one, so their ranges end sooner",
    "malformed/016": "long boundaries that differ only at their ends are told apart",
    "malformed/019": "a line that is no field does not end a header when a field follows it",
    "malformed/020": "two delimiters of which the first closes nothing have an empty part between them",
    "malformed/021": "two delimiters of which the first closes nothing have an empty part between them",
    "malformed/022": "an attached message that is none ends with its part all the same",
    "thirdparty/005": "a delimiter stands at the start of a line, not behind text",
    "thirdparty/015": "a delimiter of the outer multipart ends the header of an attached message that was cut off",
}


def walk(part: Part) -> list[Part]:
    return [part, *(deeper for child in part.parts for deeper in walk(child))]


def exercise(blob: bytes) -> None:
    """Read a message in every way and check what must hold for any."""
    message = parse_message(blob)
    assert decode_meta(encode_meta(message)) == message
    assert len(message.preview) <= 256
    assert len(thread_keys(message)) <= 64
    for part in walk(message.root):
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(blob)
        if not part.is_multipart:
            assert len(part_content(blob, part)) == part.size
            part_text(blob, part)


@needs_data
@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: str(path.relative_to(DATA)))
def test_a_message_is_read(path: Path) -> None:
    blob = path.read_bytes()
    exercise(blob)
    # one entity whatever its line ends: the same tree, the same preview
    unix = blob.replace(b"\r\n", b"\n")
    if b"\r" not in unix and b"\0" not in unix:  # in UTF-16 an octet LF is no line end
        dos = unix.replace(b"\n", b"\r\n")
        kinds = [[(p.type, p.part_id, p.name, p.cid) for p in walk(scan(b))] for b in (unix, dos)]
        assert kinds[0] == kinds[1]
        assert parse_message(unix).preview == parse_message(dos).preview


@needs_data
@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: str(path.relative_to(DATA)))
def test_a_mutated_message_is_read(path: Path) -> None:
    blob = path.read_bytes()
    chance = random.Random(str(path.relative_to(DATA)))
    lines = blob.split(b"\n")
    for _ in range(8):
        mutant = bytearray(blob)
        for _ in range(chance.randint(1, 30)):
            at = chance.randrange(len(mutant) + 1)
            mutant[at : at + chance.choice((0, 1, 1, 2, 50))] = chance.choice(
                (b"", b"\n", b"\r", b"--", b'"', b"\0", b"\xff", b"=?", b"(", b";", chance.randbytes(3))
            )
        exercise(bytes(mutant))
        exercise(blob[: chance.randrange(len(blob) + 1)])
        chance.shuffle(lines)
        exercise(b"\n".join(lines))


@functools.cache
def theirs(path: Path) -> Any:
    return json.loads(path.with_suffix(".json").read_text())


def as_parsed(path: Path) -> bytes:
    """The message with the line ends that the other parser saw: most were turned into LF first."""
    blob = path.read_bytes()
    parts = theirs(path)["parts"]
    size = parts[0]["offset_end"] if parts else 0
    return min((blob, blob.replace(b"\r\n", b"\n")), key=lambda version: abs(len(version) - size))


@needs_data
@pytest.mark.parametrize("path", PARSED, ids=lambda path: str(path.relative_to(DATA)))
def test_the_parts_are_those_of_the_other_parser(path: Path) -> None:
    ours = [(p.header_start, p.body_start, p.body_end) for p in walk(scan(as_parsed(path)))]
    others = [(p["offset_header"], p["offset_body"], p["offset_end"]) for p in theirs(path)["parts"]]
    name = f"{path.parent.name}/{path.stem}"
    if name in EXPLAINED:
        # kept in step: an explanation whose difference is gone must go too
        differs = ours != others or not theirs(path)["text_body"]
        assert differs, f"explained, but equal: {EXPLAINED[name]}"
    else:
        assert ours == others


def field(path: Path, name: str) -> Any:
    value = None
    for header in theirs(path)["parts"][0]["headers"] if theirs(path)["parts"] else []:
        if header["name"] == name:
            value = header["value"]
    return value if isinstance(value, dict) else {}


@needs_data
@pytest.mark.parametrize("path", PARSED, ids=lambda path: str(path.relative_to(DATA)))
def test_the_envelope_is_that_of_the_other_parser(path: Path) -> None:
    message = parse_message(as_parsed(path))
    assert (message.subject or "") == field(path, "subject").get("Text", "")
    for name, ours in (("from", message.from_), ("to", message.to), ("cc", message.cc)):
        value = field(path, name).get("Address", {})
        listed = value.get("List") or [a for group in value.get("Group", []) for a in group["addresses"]]
        # a word without "@" is an address to us, a name to the other parser
        others = [(a.get("name"), a["address"]) if a.get("address") else (None, a["name"]) for a in listed]
        assert [(a.name, a.email) for a in ours or []] == others
