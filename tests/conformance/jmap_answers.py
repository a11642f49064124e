"""What any answer of a JMAP server must look like (RFC 8620 §3.4, §3.6, §5): a schema that knows no method, only their kinds."""

from __future__ import annotations

import re
from typing import Any, Final

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
# RFC 8620 §3.6.2, §5.1-§5.6; RFC 9404 §4.3; what says that the server failed is no answer to arguments, whatever they are
METHOD_ERRORS: Final = frozenset(
    {"unknownMethod", "invalidArguments", "invalidResultReference", "forbidden", "accountNotFound", "accountNotSupportedByMethod",
     "accountReadOnly", "requestTooLarge", "stateMismatch", "cannotCalculateChanges", "tooManyChanges", "anchorNotFound", "unsupportedFilter",
     "unsupportedSort", "fromAccountNotFound", "fromAccountNotSupportedByMethod", "unknownDataType", "rateLimit"}
)  # fmt: skip
# RFC 8620 §5.3, §5.4; RFC 8621 §2.5, §4.6, §4.8, §6.3; RFC 9007 §2; RFC 9404 §4.1
SET_ERRORS: Final = frozenset(
    {"forbidden", "overQuota", "tooLarge", "rateLimit", "notFound", "invalidPatch", "willDestroy", "invalidProperties", "singleton",
     "alreadyExists", "mailboxHasChild", "mailboxHasEmail", "blobNotFound", "tooManyKeywords", "tooManyMailboxes", "invalidEmail",
     "forbiddenFrom", "mdnAlreadySent"}
)  # fmt: skip
# RFC 8620 §3.6.1
REQUEST_ERRORS: Final = frozenset(
    f"urn:ietf:params:jmap:error:{name}" for name in ("unknownCapability", "notJSON", "notRequest", "limit")
)


def check_response(method: str, name: str, result: Any) -> None:
    """Check one response of a call."""
    assert isinstance(result, dict), result
    if name == "error":
        assert result["type"] in METHOD_ERRORS, (method, result)
        assert isinstance(result.get("description", ""), str)
        return
    if name != method:
        # RFC 8620 §5.4 and RFC 8621 §7.5: what a call did of its own accord follows its response
        assert name.endswith("/set"), (method, name)
    assert set(result) & {"type", "description"} == set() or method == "Core/echo", (method, result)
    check = _KINDS.get(name.partition("/")[2])
    if check is not None and method != "Core/echo":
        check(name, result)
    for refused in ("notCreated", "notUpdated", "notDestroyed", "notCopied", "notSent"):
        if method != "Core/echo":
            for error in (result.get(refused) or {}).values():
                _check_set_error(method, error)


def _check_set_error(method: str, error: Any) -> None:
    assert error["type"] in SET_ERRORS, (method, error)
    assert isinstance(error.get("description", ""), str)
    if "properties" in error:  # RFC 8620 §5.3
        assert error["properties"], error
        assert all(isinstance(name, str) for name in error["properties"])
    if error["type"] == "alreadyExists":
        assert ID.fullmatch(error["existingId"])
    if error["type"] == "blobNotFound":
        assert all(isinstance(name, str) for name in error["notFound"])


def _ids(values: Any) -> None:
    assert isinstance(values, list)
    assert all(isinstance(value, str) and ID.fullmatch(value) for value in values), values
    assert len(set(values)) == len(values), values


def _check_get(name: str, result: dict[str, Any]) -> None:
    assert isinstance(result["list"], list)
    missing = result["notFound"]
    assert missing is None or all(isinstance(value, str) for value in missing)
    if name in {"SearchSnippet/get", "Blob/get"}:
        return
    found = [one["id"] for one in result["list"]]
    _ids(found)
    assert not set(found) & set(missing), result
    if not name.startswith("PushSubscription/"):  # RFC 8620 §7.2.1
        assert isinstance(result["state"], str)


def _check_changes(name: str, result: dict[str, Any]) -> None:
    assert isinstance(result["oldState"], str)
    assert isinstance(result["newState"], str)
    assert isinstance(result["hasMoreChanges"], bool)
    lists = [result[key] for key in ("created", "updated", "destroyed")]
    for values in lists:
        _ids(values)
    assert len(set().union(*lists)) == sum(map(len, lists)), result  # RFC 8620 §5.2: one list only


def _check_query(name: str, result: dict[str, Any]) -> None:
    assert isinstance(result["queryState"], str)
    assert isinstance(result["canCalculateChanges"], bool)
    assert result["position"] >= 0
    _ids(result["ids"])
    assert result.get("total", 0) >= 0


def _check_query_changes(name: str, result: dict[str, Any]) -> None:
    assert isinstance(result["oldQueryState"], str)
    assert isinstance(result["newQueryState"], str)
    _ids(result["removed"])
    _ids([one["id"] for one in result["added"]])
    places = [one["index"] for one in result["added"]]
    assert places == sorted(set(places)), result  # RFC 8620 §5.6: lowest index first


def _check_set(name: str, result: dict[str, Any]) -> None:
    if not name.startswith("PushSubscription/"):
        assert result["newState"] is None or isinstance(result["newState"], str)
        assert result["oldState"] is None or isinstance(result["oldState"], str)
    for one in (result["created"] or {}).values():
        assert ID.fullmatch(one["id"])
    for key in ("updated", "notCreated", "notUpdated", "notDestroyed"):
        assert result[key] is None or isinstance(result[key], dict)
    _ids(result["destroyed"] or [])


_KINDS: Final = {
    "get": _check_get, "changes": _check_changes, "query": _check_query, "queryChanges": _check_query_changes, "set": _check_set,
}  # fmt: skip


def check_request_error(status: int, kind: str, body: Any) -> None:
    """Check the answer to a request that is refused as a whole (RFC 8620 §3.6.1, RFC 7807)."""
    assert status == 400, body
    assert kind == "application/problem+json"
    assert body["type"] in REQUEST_ERRORS
    assert body["status"] == status
    assert ("limit" in body) == body["type"].endswith(":limit")
