"""Result references (RFC 8620 §3.7): arguments taken from the results of earlier calls by JSON pointer with `*`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from petitbleu_gateway.domain.json_pointers import unescape
from petitbleu_gateway.errors import Fault, MethodError

Response = tuple[str, dict[str, Any], str]

MAX_OCTETS: Final = 10_000_000
"""What the references of a request may bring into it, about as much as may be sent: a result that refers to an earlier one twice
doubles it, so a few hundred octets would become any number."""
_VALUE_OCTETS: Final = 8
"""What a value counts beyond its text."""


class Allowance:
    """Octets that the references of one request may still bring into it."""

    def __init__(self, octets: int = MAX_OCTETS) -> None:
        self._left = octets

    def spend(self, value: Any) -> None:
        """Count a value, each time that something refers to it anew.

        Raises:
            MethodError: `requestTooLarge` when there is more of it than is left.
        """
        open_values = [value]
        while open_values:
            one = open_values.pop()
            self._left -= _VALUE_OCTETS
            if isinstance(one, str):
                self._left -= len(one)
            elif isinstance(one, dict):
                self._left -= sum(map(len, one))
                open_values.extend(one.values())
            elif isinstance(one, list | tuple):
                open_values.extend(one)
            if self._left < 0:
                raise MethodError(Fault.REQUEST_TOO_LARGE, "the references bring in more than a request may hold")


def _failed(why: str) -> MethodError:
    return MethodError(Fault.INVALID_RESULT_REFERENCE, why)


def resolve(arguments: dict[str, Any], responses: Sequence[Response], allowance: Allowance) -> dict[str, Any]:
    """Return the arguments with each `#name` replaced by what it refers to.

    Raises:
        MethodError: `invalidArguments` when an argument stands with and without `#`; `invalidResultReference`; `requestTooLarge`
            when the request's references bring in more than `allowance`.
    """
    if not any(name.startswith("#") for name in arguments):
        return arguments
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if not name.startswith("#"):
            found[name] = value
            continue
        if name[1:] in arguments:
            raise MethodError(Fault.INVALID_ARGUMENTS, "an argument stands both with and without #")
        found[name[1:]] = _look_up(value, responses)
        allowance.spend(found[name[1:]])
    return found


def _look_up(reference: Any, responses: Sequence[Response]) -> Any:
    if not isinstance(reference, dict) or set(reference) != {"resultOf", "name", "path"}:
        raise _failed("not a ResultReference")
    call, name, path = reference["resultOf"], reference["name"], reference["path"]
    if not (isinstance(call, str) and isinstance(name, str) and isinstance(path, str)):
        raise _failed("not a ResultReference")
    for response_name, result, call_id in responses:
        if call_id == call:  # the first response of that call counts (RFC 8620 §3.7)
            if response_name != name:
                raise _failed("that call gave another response")
            return _walk(result, _tokens(path))
    raise _failed("no such call")


def _tokens(path: str) -> list[str]:
    """Split a JSON pointer (RFC 6901 §3)."""
    if path == "":
        return []
    if not path.startswith("/"):
        raise _failed("not a JSON pointer")
    tokens = unescape(path[1:])
    if tokens is None:
        raise _failed("not a JSON pointer")
    return tokens


def _walk(value: Any, tokens: Sequence[str]) -> Any:
    for at, token in enumerate(tokens):
        if isinstance(value, list | tuple):
            if token == "*":  # noqa: S105 — RFC 8620 §3.7
                return _map(value, tokens[at + 1 :])
            value = value[_index(token, len(value))]
        elif isinstance(value, dict):
            if token not in value:
                raise _failed("no such member")
            value = value[token]
        else:
            raise _failed("nothing below that value")
    return value


def _map(values: Sequence[Any], tokens: Sequence[str]) -> list[Any]:
    """Apply the rest of a pointer to each item; results that are arrays are joined (RFC 8620 §3.7)."""
    flat: list[Any] = []
    for item in values:
        inner = _walk(item, tokens)
        if isinstance(inner, list):
            flat.extend(inner)
        else:
            flat.append(inner)
    return flat


def _index(token: str, size: int) -> int:
    # RFC 6901 §4: digits without a leading zero
    good = token.isascii() and token.isdigit() and len(token) <= 9 and (token == "0" or token[0] != "0")  # noqa: S105
    if not good or int(token) >= size:
        raise _failed("no such index")
    return int(token)
