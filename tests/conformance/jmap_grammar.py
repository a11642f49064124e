"""Requests that look like JMAP and are not quite: every method of the registry, its arguments of the right shape, or bent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st
from msgspec import inspect

from petitbleu_gateway.methods.push_subscription import PushSubscriptionMethods
from petitbleu_gateway.methods.registry import build_registry

_NOBODY: Final[Any] = None
REGISTRY: Final = build_registry(PushSubscriptionMethods(_NOBODY, _NOBODY, b"", lambda _account: None))


@st.composite
def shortly(draw: st.DrawFn, make: Callable[[], st.SearchStrategy[Any]]) -> Any:
    """What a strategy gives; hypothesis writes strategies out in full, and warns where they are long."""
    return draw(make())


_WORDS: Final = st.sampled_from(
    ["M1", "M2", "F1", "F2", "T1", "B1", "B1-1", "U1", "#k", "id", "subject", "from", "header:X:asText", "header:From:asAddresses:all",
     "keywords", "keywords/$seen", "mailboxIds", "mailboxIds/F1", "bodyStructure", "textBody", "htmlBody", "attachments", "bodyValues",
     "partId", "blobId", "type", "text/plain", "multipart/mixed", "subParts", "value", "name", "email", "receivedAt", "size", "data",
     "data:asText", "digest:sha", "property", "isAscending", "operator", "AND", "NOT", "conditions", "inMailbox", "before", "minSize",
     "hasKeyword", "2025-07-01T10:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "0", "1", "/list/*/id", "headers", "sentAt", "hasAttachment", "charset",
     "disposition", "cid", "language", "a@b.example", "\u0000", "a\u0000b", "é", "", "resultOf", "path", "%", "_", "\\", "'", '"', "\U0001f600", "\u202e", "M" + "9" * 18,
     "F9223372036854775807", "M9223372036854775808", "M0", "~", "~1", "*", "-", "a" * 256, "i;unicode-casemap", "inbox", "trash", "$seen", "sha-256"]
)  # fmt: skip
WORDS: Final = shortly(lambda: _WORDS)
NUMBERS: Final = st.sampled_from(
    [
        0,
        1,
        -1,
        5,
        2**31 - 1,
        2**31,
        2**32,
        2**53 - 1,
        2**53,
        -(2**53),
        2**63 - 1,
        2**63,
        -(2**63),
        2**64,
        10**25,
        1.5,
        1.0,
        -0.0,
        1e300,
    ]
)
# What I-JSON has no room for (RFC 7493 §2.1) makes a request no request; the bodies that are tried have it.
NONCHARACTERS: Final = "".join(
    [
        *map(chr, range(0xFDD0, 0xFDF0)),
        *(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF)),
    ]
)
TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=NONCHARACTERS), max_size=8)
SCALARS: Final = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, TEXT)
DEEP: Final = st.integers(10, 60).map(lambda depth: [_nested(depth, "conditions"), _nested(depth, None)][depth % 2])
_VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | TEXT, inner, max_size=4),
    max_leaves=12,
)
VALUES: Final = shortly(lambda: _VALUES)


def _nested(depth: int, name: str | None) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = [value] if name is None else {"operator": "AND", name: [value]}
    return value


def bent(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right, sometimes anything."""
    return st.one_of(good, good, good, VALUES)


def ids(letter: str) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.integers(1, 6).map(lambda number: f"{letter}{number}"), st.sampled_from(["#k", "#a", "#b"]), WORDS, TEXT
    )


PART: Final[st.SearchStrategy[Any]] = st.deferred(
    lambda: st.fixed_dictionaries({}, optional={
        "partId": st.just("t") | SCALARS, "blobId": ids("B"), "type": st.sampled_from(["text/plain", "text/html", "image/png", "message/rfc822",
        "multipart/mixed", "multipart/related"]) | WORDS, "name": SCALARS, "cid": SCALARS, "language": VALUES, "disposition": SCALARS,
        "header:X-A:asText": SCALARS, "header:Content-Type": SCALARS, "subParts": st.lists(PART, max_size=2), "charset": SCALARS,
        "location": SCALARS})
)  # fmt: skip
ADDRESSES: Final = st.lists(st.fixed_dictionaries({"name": SCALARS, "email": SCALARS}), max_size=2)
KEYWORDS: Final = st.dictionaries(WORDS | TEXT, st.just(True) | SCALARS, max_size=3)
MAILBOXES: Final = st.just({"F1": True}) | st.dictionaries(ids("F"), st.just(True) | SCALARS, max_size=3)
_DRAFT: Final = st.fixed_dictionaries(
    {"mailboxIds": MAILBOXES},
    optional={"subject": SCALARS, "from": bent(ADDRESSES), "to": bent(ADDRESSES), "keywords": bent(KEYWORDS), "receivedAt": SCALARS,
              "textBody": st.lists(PART, max_size=2), "htmlBody": st.lists(PART, max_size=2), "attachments": st.lists(PART, max_size=2),
              "bodyStructure": bent(PART), "bodyValues": st.just({"t": {"value": "x\u0000é\r\n"}}) | VALUES, "sentAt": SCALARS,
              "messageId": VALUES, "header:X-B": SCALARS, "header:X-C:asGroupedAddresses": VALUES, "header:X-D:asURLs:all": VALUES},
)  # fmt: skip
DRAFT: Final = shortly(lambda: _DRAFT)
SOURCE: Final = st.fixed_dictionaries(
    {}, optional={"data:asText": SCALARS, "data:asBase64": st.sampled_from(["", "YQ==", "YQ", "="]) | SCALARS, "blobId": ids("B"),
                  "offset": NUMBERS, "length": NUMBERS},
)  # fmt: skip
_BOX: Final = st.fixed_dictionaries(
    {}, optional={"name": WORDS | SCALARS, "parentId": ids("F") | st.none(), "sortOrder": SCALARS,
                  "role": st.sampled_from([None, "important", "all", "inbox"]) | SCALARS, "isSubscribed": SCALARS, "id": WORDS, "myRights": VALUES,
                  "shareWith": VALUES},
)  # fmt: skip
BOX: Final = shortly(lambda: _BOX)
IMPORTED: Final = st.fixed_dictionaries(
    {"blobId": ids("B"), "mailboxIds": MAILBOXES}, optional={"keywords": KEYWORDS, "receivedAt": SCALARS}
)
COPIED: Final = st.fixed_dictionaries(
    {"id": ids("M"), "mailboxIds": MAILBOXES}, optional={"keywords": KEYWORDS, "receivedAt": SCALARS}
)
URLS: Final = st.sampled_from(
    ["https://127.0.0.1/", "http://x.invalid/", "https://x.invalid/p", "ftp://x", "https://[::1]:0/", "//"]
)
_ANYTHING: Final = st.fixed_dictionaries(
    {}, optional={
        "name": SCALARS, "email": SCALARS, "replyTo": bent(ADDRESSES), "bcc": bent(ADDRESSES), "textSignature": SCALARS, "htmlSignature": SCALARS,
        "deviceClientId": SCALARS, "url": URLS | SCALARS, "keys": VALUES, "verificationCode": SCALARS, "expires": SCALARS, "types": VALUES,
        "shareWith": VALUES, "forEmailId": ids("M"), "subject": SCALARS, "textBody": SCALARS, "disposition": VALUES, "error": VALUES}
)  # fmt: skip
ANYTHING: Final = shortly(lambda: _ANYTHING)
CREATED: Final = {"Email": DRAFT, "Mailbox": BOX, "Blob": st.fixed_dictionaries({}, optional={"data": bent(st.lists(SOURCE, max_size=3)), "type": SCALARS})}  # fmt: skip
_TREE: Final = st.fixed_dictionaries(
    {}, optional={
        "inMailbox": ids("F"), "inMailboxOtherThan": bent(st.lists(ids("F"), max_size=3)), "before": WORDS, "after": WORDS,
        "minSize": SCALARS, "maxSize": SCALARS, "hasKeyword": WORDS | SCALARS, "notKeyword": WORDS, "hasAttachment": SCALARS,
        "allInThreadHaveKeyword": WORDS, "someInThreadHaveKeyword": WORDS, "noneInThreadHaveKeyword": WORDS, "text": SCALARS, "from": SCALARS, "to": SCALARS,
        "cc": SCALARS, "bcc": SCALARS, "subject": SCALARS, "body": SCALARS, "header": bent(st.lists(WORDS | TEXT, max_size=3)),
        "parentId": ids("F") | st.none(), "name": SCALARS, "role": SCALARS, "hasAnyRole": SCALARS, "isSubscribed": SCALARS,
        "scope": SCALARS, "resourceType": SCALARS, "type": SCALARS}
)  # fmt: skip
TREE: Final = shortly(lambda: _TREE)
SINGLE: Final = TREE.flatmap(
    lambda found: st.sampled_from(sorted(found) or [""]).map(lambda name: {name: found[name]} if name else {})
)
_FILTER: Final = st.recursive(
    SINGLE | TREE,
    lambda inner: st.fixed_dictionaries(
        {"operator": st.sampled_from(["AND", "OR", "NOT"]) | WORDS, "conditions": st.lists(inner, max_size=3)}
    ),
    max_leaves=6,
)
FILTER: Final = shortly(lambda: _FILTER)
_SORT: Final = st.lists(
    st.fixed_dictionaries(
        {"property": st.sampled_from(["receivedAt", "size", "sentAt", "hasKeyword", "from", "to", "subject", "allInThreadHaveKeyword", "someInThreadHaveKeyword",
                                      "sortOrder", "name", "parentId", "used"]) | WORDS},
        optional={"isAscending": SCALARS, "keyword": st.just("$seen") | SCALARS, "collation": st.sampled_from(["i;ascii-casemap", "i;octet"]) | SCALARS,
                  "position": SCALARS},
    ), max_size=3,
)  # fmt: skip
SORT: Final = shortly(lambda: _SORT)
_PROPERTIES: Final = st.lists(
    st.sampled_from(["id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "headers", "subject", "from", "bodyStructure", "bodyValues",
                     "textBody", "preview", "partId", "subParts", "name", "role", "totalThreads", "myRights", "emailIds", "data", "data:asText",
                     "data:asBase64", "digest:sha", "digest:sha-256", "header:Subject:asText", "header:Received:all", "header:X:asURLs"]) | WORDS,
    max_size=5,
)  # fmt: skip
PROPERTIES: Final = shortly(lambda: _PROPERTIES)
LETTERS: Final = {
    "Mailbox": "F",
    "Thread": "T",
    "Email": "M",
    "Blob": "B",
    "Identity": "I",
    "PushSubscription": "P",
    "DeletedMailbox": "F",
}


def patch(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pointers = (
        st.sampled_from(
            [
                "keywords/$seen",
                "keywords/$flagged",
                "mailboxIds/F1",
                "mailboxIds/F2",
                "name",
                "parentId",
                "shareWith/x",
                "a/b/c",
            ]
        )
        | WORDS
        | TEXT
    )
    return inner | st.dictionaries(pointers, st.just(True) | st.none() | SCALARS, max_size=3)  # fmt: skip


def argument(kind: str, method: str, name: str, described: inspect.Type) -> st.SearchStrategy[Any]:
    """What an argument may be: by its name where the name says more than its type."""
    letter = LETTERS.get(kind, "M")
    inner = CREATED.get(kind, ANYTHING)
    keys = st.sampled_from(["k", "a", "b"])
    by_name: dict[str, st.SearchStrategy[Any]] = {
        "ids": st.none() | st.lists(ids(letter), max_size=4), "destroy": st.lists(ids(letter), max_size=3),
        "create": st.dictionaries(keys, COPIED if method.endswith("/copy") else inner, max_size=3),
        "update": st.dictionaries(ids(letter), patch(inner), max_size=3),
        "emails": st.dictionaries(keys, IMPORTED, max_size=2), "blobIds": st.lists(ids("B"), max_size=3),
        "emailIds": st.lists(ids("M"), max_size=4), "filter": FILTER | st.none() | DEEP, "sort": SORT | st.none(), "properties": PROPERTIES | st.none(),
        "bodyProperties": PROPERTIES, "anchor": ids(letter), "upToId": ids(letter), "typeNames": st.lists(st.sampled_from(["Email", "Mailbox", "Thread", "X"]), max_size=3),
    }  # fmt: skip
    if name.lower().endswith("state"):
        return st.sampled_from(["0", "1", "2", "10", "99999", "-1", "", "x", "1" * 19, "1" * 30])
    return by_name.get(name, of_type(described))


def of_type(described: inspect.Type) -> st.SearchStrategy[Any]:
    """A value of a type, for arguments that nothing more is known of."""
    if isinstance(described, inspect.BoolType):
        return st.booleans()
    if isinstance(described, inspect.IntType):
        return st.integers(-3, 12) | NUMBERS
    if isinstance(described, inspect.StrType):
        return WORDS | TEXT
    if isinstance(described, inspect.UnionType):
        return st.one_of(*map(of_type, described.types))
    return _of_composite(described)


def _of_composite(described: inspect.Type) -> st.SearchStrategy[Any]:
    if isinstance(described, inspect.ListType):
        return st.lists(of_type(described.item_type), max_size=3)
    if isinstance(described, inspect.DictType):
        return st.dictionaries(WORDS | TEXT, of_type(described.value_type), max_size=3)
    if isinstance(described, inspect.StructType):
        fields = {field.encode_name: bent(of_type(field.type)) for field in described.fields}
        return st.fixed_dictionaries({}, optional=fields)
    return VALUES


def _fields(method: str) -> dict[str, inspect.Field]:
    described = inspect.type_info(REGISTRY[method].arguments)
    return {field.encode_name: field for field in described.fields} if isinstance(described, inspect.StructType) else {}


FIELDS: Final = {method: _fields(method) for method in REGISTRY}
STRATEGIES: Final = {
    method: {
        name: bent(argument(method.partition("/")[0], method, name, field.type)) for name, field in fields.items() if name != "accountId"
    }
    for method, fields in FIELDS.items()
}  # fmt: skip
PATHS: Final = st.sampled_from(
    ["/ids", "/list/*/id", "/list/*/threadId", "/list/*/emailIds", "/created/k/id", "/created", "/updated", "/state", "", "/*", "/list/0", "/list/*/*", "/~0"]
) | TEXT.map(lambda text: f"/{text}")  # fmt: skip


@st.composite
def calls(draw: st.DrawFn, methods: tuple[str, ...] = tuple(REGISTRY)) -> list[Any]:
    """One to four calls, an `accountId` of None standing for the person's own."""
    made: list[Any] = []
    for at in range(draw(st.integers(1, 4))):
        method = draw(st.sampled_from(methods))
        strategies = STRATEGIES[method]
        optional = draw(st.lists(st.sampled_from(sorted(strategies)), unique=True, max_size=5)) if strategies else []
        chosen = {*optional, *(name for name in strategies if FIELDS[method][name].required)}
        arguments = {name: draw(strategies[name]) for name in sorted(chosen)}
        if not strategies:
            arguments = draw(st.dictionaries(WORDS, VALUES, max_size=3))
        if not strategies or "accountId" in FIELDS[method]:
            arguments["accountId"] = None
        bending = draw(st.integers(0, 19))
        if bending == 0:
            arguments[draw(WORDS)] = draw(VALUES)
        elif bending == 1 and arguments:
            del arguments[draw(st.sampled_from(sorted(arguments)))]
        elif bending == 2:
            arguments["accountId"] = draw(SCALARS.filter(lambda value: value is not None))
        elif bending < 8 and strategies and made:
            name = draw(st.sampled_from(sorted(strategies)))
            arguments.pop(name, None)
            earlier = draw(st.sampled_from(made))
            reference = {"resultOf": earlier[2], "name": earlier[0], "path": draw(PATHS)}
            arguments[f"#{name}"] = draw(st.just(reference) | VALUES) if bending == 7 else reference
        made.append([method, arguments, f"c{at}"])
    return made
