"""A message made of an Email object that a client creates (RFC 8621 §4.6)."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from petitbleu_gateway.domain.draft_fields import (
    OwnType,
    parameter,
    read_own_type,
    read_word,
    with_parameters,
    write_part_fields,
)
from petitbleu_gateway.domain.draft_header import CONVENIENT, root_part, write_header
from petitbleu_gateway.domain.header_writing import fold
from petitbleu_gateway.domain.transfer_encoding import encode_base64, encode_text
from petitbleu_gateway.errors import Invalid, invalid

_MAX_PARTS: Final = 200
_MAX_DEPTH: Final = 20
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}")

_FILED: Final = frozenset({"mailboxIds", "keywords", "receivedAt"})
_BODY: Final = frozenset({"bodyStructure", "textBody", "htmlBody", "attachments", "bodyValues"})
_SAID: Final = frozenset({"isEncodingProblem", "isTruncated"})
_PART: Final = frozenset(
    {
        "partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location", "subParts",
    }
)  # fmt: skip


@dataclass(slots=True)
class DraftPart:
    """A part to be written: a text of the client's, the content of a blob, or other parts."""

    type: str
    fields: bytes
    text: str | None = None
    blob_id: str | None = None
    charset: str | None = None
    name: str | None = None
    own_type: OwnType | None = None
    parts: list[DraftPart] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """A message to be written: the fields of its header, and its root part."""

    header: bytes
    root: DraftPart

    def uses(self) -> tuple[Counter[str], int]:
        """Return how often each blob stands in its parts, and the octets of their texts: one value may stand in many."""
        blobs: Counter[str] = Counter()
        texts: Counter[str] = Counter()
        waiting = [self.root]
        while waiting:
            part = waiting.pop()
            if part.blob_id is not None:
                blobs[part.blob_id] += 1
            if part.text is not None:
                texts[part.text] += 1
            waiting.extend(part.parts)
        return blobs, sum(len(text.encode("utf-8", "replace")) * count for text, count in texts.items())


def read_draft(email: Mapping[str, Any], domain: str, now: datetime) -> Draft:
    """Return the message that a creation asks for.

    Args:
        email: The Email object.
        domain: Where a Message-ID of ours belongs.
        now: The instant for Date.

    Raises:
        SetError: `invalidProperties` naming what is wrong.
    """
    return _Reader(email, domain, now).read()


class _Reader:
    def __init__(self, email: Mapping[str, Any], domain: str, now: datetime) -> None:
        self._email = email
        self._domain = domain
        self._now = now
        self._parts = 0
        self._values: dict[str, str] = {}

    def read(self) -> Draft:
        email = self._email
        wrong = Invalid()
        with wrong:
            self._check_names()
        header, present = write_header(email, self._domain, self._now, wrong)
        root = DraftPart("text/plain", b"")
        with wrong:
            self._read_values()
            root = self._root(present)
        wrong.settle()
        return Draft(header, root)

    def _check_names(self) -> None:
        wrong = [
            name for name in self._email
            if name not in _FILED and name not in _BODY and name not in CONVENIENT and not name.startswith("header:")
        ]  # fmt: skip
        if wrong:
            raise invalid(*wrong, why="may not be set")

    def _read_values(self) -> None:
        values = self._email.get("bodyValues")
        if values is None:
            return
        if not isinstance(values, dict):
            raise invalid("bodyValues")
        for part_id, value in values.items():
            if not isinstance(value, dict) or not isinstance(value.get("value"), str):
                raise invalid(f"bodyValues/{part_id}")
            # RFC 8621 §4.6: the others may only say that nothing is wrong with it
            wrong = [name for name in value if name != "value" and (name not in _SAID or value[name] is not False)]
            if wrong:
                raise invalid(*(f"bodyValues/{part_id}/{name}" for name in wrong))
            self._values[part_id] = value["value"]

    def _root(self, present: set[str]) -> DraftPart:
        email = self._email
        if email.get("bodyStructure") is not None:
            both = [name for name in ("textBody", "htmlBody", "attachments") if email.get(name) is not None]
            if both:  # RFC 8621 §4.6
                raise invalid("bodyStructure", *both, why="bodyStructure excludes the lists")
            structure = email["bodyStructure"]
            return self._part(structure, "bodyStructure", "text/plain", 1, frozenset(present))
        lone = frozenset(present) if root_part(email) is not None else frozenset()
        text = self._list("textBody", "text/plain", lone)
        html = self._list("htmlBody", "text/html", lone)
        files = email.get("attachments")
        if files is not None and not isinstance(files, list):
            raise invalid("attachments")
        attachments = [
            (entry, self._part(entry, f"attachments/{at}", "application/octet-stream", 1, attached=True))
            for at, entry in enumerate(files or ())
        ]
        inline = [part for entry, part in attachments if entry.get("disposition") == "inline" and entry.get("cid")]
        if html is not None and inline:
            html = _multipart("related", [html, *inline])
        else:
            inline = []
        rest = [part for _, part in attachments if part not in inline]
        bodies = [part for part in (text, html) if part is not None]
        body = _multipart("alternative", bodies) if len(bodies) == 2 else bodies[0] if bodies else None
        if body is None and not rest:
            return DraftPart("text/plain", b"", text="")
        if not rest and body is not None:
            return body
        return _multipart("mixed", [*([body] if body is not None else []), *rest])

    def _list(self, key: str, kind: str, taken: frozenset[str]) -> DraftPart | None:
        """Read textBody or htmlBody: exactly one part, of that type (RFC 8621 §4.6)."""
        entries = self._email.get(key)
        if entries is None:
            return None
        if not isinstance(entries, list) or len(entries) != 1:
            raise invalid(key, why="must hold exactly one part")
        part = self._part(entries[0], f"{key}/0", kind, 1, taken)
        if part.type != kind:
            raise invalid(f"{key}/0/type")
        return part

    def _part(
        self,
        given: Any,
        path: str,
        default: str,
        depth: int,
        taken: frozenset[str] = frozenset(),
        *,
        attached: bool = False,
    ) -> DraftPart:
        self._parts += 1
        if not isinstance(given, dict) or depth > _MAX_DEPTH or self._parts > _MAX_PARTS:
            raise invalid(path)
        for key in given:
            if key not in _PART and not key.startswith("header:"):  # `headers` may not be given (RFC 8621 §4.6)
                raise invalid(f"{path}/{key}")
        sub_parts = given.get("subParts")
        own = read_own_type(given, path)
        kind = own.kind if own is not None else given.get("type") or ("multipart/mixed" if sub_parts else default)
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
            raise invalid(f"{path}/type")
        part = DraftPart(kind.lower(), b"", own_type=own)
        part.name = read_word(given, "name", path)
        part.fields = write_part_fields(given, path, part.name, part.type, taken, attached=attached)
        if part.type.startswith("multipart/"):
            if not isinstance(sub_parts, list) or not sub_parts or given.get("partId") or given.get("blobId"):
                raise invalid(f"{path}/subParts")
            # RFC 2046 §5.1.5: what a digest holds is messages, unless it says otherwise
            implied = "message/rfc822" if part.type == "multipart/digest" else "text/plain"
            part.parts = [
                self._part(entry, f"{path}/subParts/{at}", implied, depth + 1) for at, entry in enumerate(sub_parts)
            ]
            return part
        if sub_parts:
            raise invalid(f"{path}/subParts")
        self._content(given, path, part)
        return part

    def _content(self, given: dict[str, Any], path: str, part: DraftPart) -> None:
        part_id, blob = given.get("partId"), given.get("blobId")
        # RFC 8621 §4.6: one of both
        if (part_id is None) == (blob is None):
            raise invalid(f"{path}/partId", f"{path}/blobId")
        if part_id is not None:
            if not isinstance(part_id, str) or part_id not in self._values:
                raise invalid(f"{path}/partId")
            for name in ("charset", "size"):
                if given.get(name) is not None:
                    raise invalid(f"{path}/{name}")
            _check_value_type(part, path)
            part.text = self._values[part_id]
            return
        if not isinstance(blob, str):
            raise invalid(f"{path}/blobId")
        part.blob_id = blob
        charset = given.get("charset")
        if charset is not None:
            if not isinstance(charset, str) or not _TOKEN.fullmatch(charset):
                raise invalid(f"{path}/charset")
            part.charset = charset


def _check_value_type(part: DraftPart, path: str) -> None:
    if part.type.startswith("message/"):
        raise invalid(f"{path}/type", why="a value is no message")
    if part.own_type is not None and (part.own_type.charset or "utf-8").lower() != "utf-8":
        raise invalid(f"{path}/header:Content-Type", why="a value is written in UTF-8")


def _multipart(subtype: str, parts: list[DraftPart]) -> DraftPart:
    return DraftPart(f"multipart/{subtype}", b"", parts=parts)


def compose(draft: Draft, content: Callable[[str], bytes]) -> bytes:
    """Write the whole message.

    Args:
        draft: What to write.
        content: Gives the decoded content of a blob.
    """
    out: list[bytes] = [draft.header]
    _write(draft.root, content, out)
    return b"".join(out)


def _write(part: DraftPart, content: Callable[[str], bytes], out: list[bytes]) -> None:
    if part.parts:
        boundary = f"=_{secrets.token_hex(16)}"  # 128 random bits stand in no part
        out.append(part.fields + fold("Content-Type", with_parameters(part.type, [f'boundary="{boundary}"'])) + b"\r\n")
        for child in part.parts:
            out.append(f"--{boundary}\r\n".encode())
            _write(child, content, out)
            out.append(b"\r\n")
        out.append(f"--{boundary}--\r\n".encode())
        return
    if part.text is not None and part.type.startswith("text/"):
        parameters = ["charset=utf-8"]
        data = re.sub("\r\n|\r|\n", "\r\n", part.text).encode("utf-8", "replace")
        encoding, data = encode_text(data)
    elif part.text is not None:  # of any other type, as signatures and JSON are, its octets as they are
        parameters = []
        encoding, data = "base64", encode_base64(part.text.encode("utf-8", "replace"))
    else:
        data = content(part.blob_id or "")
        parameters = [f"charset={part.charset}"] if part.charset else []
        if part.type in {"message/rfc822", "message/global"}:
            # RFC 2046 §5.2.1: no encoding but these
            encoding = "7bit" if data.isascii() else "8bit"
        else:
            encoding, data = "base64", encode_base64(data)
    if part.own_type is None:
        type_field = fold("Content-Type", with_parameters(part.type, [*parameters, *parameter("name", part.name)]))
    else:
        more = parameters if part.own_type.charset is None else []
        type_field = "".join([part.own_type.field, *(f";\r\n {word}" for word in more), "\r\n"]).encode()
    out.append(part.fields + type_field + f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode())
    out.append(data)
