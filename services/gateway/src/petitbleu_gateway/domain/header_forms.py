"""Header fields in the forms of RFC 8621 §4.1.2, and the properties `header:…` that ask for them (§4.1.3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from petitbleu_mail.address_list import EmailAddress, as_addresses, as_grouped_addresses
from petitbleu_mail.header_values import SentAt, as_date, as_message_ids, as_text, as_urls, format_date, to_text
from petitbleu_mail.headers import Headers

_PROPERTY: Final = re.compile(
    r"header:([!-9;-~]{1,255})"
    r"(?::as(Raw|Text|Addresses|GroupedAddresses|MessageIds|Date|URLs))?(:all)?"
)

_ADDRESS_FIELDS: Final = frozenset(
    [
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "resent-from",
        "resent-sender",
        "resent-reply-to",
        "resent-to",
        "resent-cc",
        "resent-bcc",
    ]
)
_ID_FIELDS: Final = frozenset(["message-id", "in-reply-to", "references", "resent-message-id"])
_DATE_FIELDS: Final = frozenset(["date", "resent-date"])
_URL_FIELDS: Final = frozenset(
    ["list-help", "list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive"]
)
_TEXT_FIELDS: Final = frozenset(["subject", "comments", "keywords", "list-id"])
# Fields that RFC 5322 and RFC 2369 define; any other may be asked for in every form (RFC 8621 §4.1.2).
_DEFINED: Final = (
    _ADDRESS_FIELDS
    | _ID_FIELDS
    | _DATE_FIELDS
    | _URL_FIELDS
    | {"subject", "comments", "keywords", "return-path", "received"}
)
_ALLOWED: Final = {
    "Text": _TEXT_FIELDS,
    "Addresses": _ADDRESS_FIELDS,
    "GroupedAddresses": _ADDRESS_FIELDS,
    "MessageIds": _ID_FIELDS,
    "Date": _DATE_FIELDS,
    "URLs": _URL_FIELDS,
}


class HeaderProperty(NamedTuple):
    """A property `header:{name}[:as{form}][:all]`; `field` is the name in lower case."""

    key: str
    name: str
    field: str
    form: str
    all: bool


@lru_cache(maxsize=512)
def parse_header_property(key: str) -> HeaderProperty | None:
    """Return what a property asks for; None when it has no such form or the form is not for that field (§4.1.2)."""
    found = _PROPERTY.fullmatch(key)
    if found is None:
        return None
    name, form, every = found.groups()
    field = name.lower()
    form = form or "Raw"
    if form != "Raw" and field in _DEFINED and field not in _ALLOWED[form]:
        return None
    return HeaderProperty(key, name, field, form, every is not None)


def address_object(address: EmailAddress) -> dict[str, str | None]:
    """Return an EmailAddress (RFC 8621 §4.1.2.3)."""
    return {"name": address.name, "email": address.email}


def addresses_value(addresses: list[EmailAddress] | None) -> list[dict[str, str | None]] | None:
    """Return an Addresses value, None when the field is absent."""
    return None if addresses is None else [{"name": found.name, "email": found.email} for found in addresses]


def date_value(sent: SentAt | None) -> str | None:
    """Return a Date value."""
    return None if sent is None else format_date(sent)


def _grouped(raw: bytes) -> list[dict[str, Any]]:
    # RFC 8621 §4.1.2.4
    return [
        {"name": group.name, "addresses": [address_object(found) for found in group.addresses]}
        for group in as_grouped_addresses(raw)
    ]


_FORMS: Final[dict[str, Callable[[bytes], Any]]] = {
    "Raw": to_text,  # RFC 8621 §4.1.2.1
    "Text": as_text,  # RFC 8621 §4.1.2.2
    "Addresses": lambda raw: addresses_value(as_addresses(raw)),  # RFC 8621 §4.1.2.3
    "GroupedAddresses": _grouped,  # §4.1.2.4
    "MessageIds": as_message_ids,  # RFC 8621 §4.1.2.5
    "Date": lambda raw: date_value(as_date(raw)),  # RFC 8621 §4.1.2.6
    "URLs": as_urls,  # RFC 8621 §4.1.2.7
}


def header_value(headers: Headers, wanted: HeaderProperty) -> Any:
    """Return a header property's value: of the last field of that name, or of all in order (RFC 8621 §4.1.3)."""
    form = _FORMS[wanted.form]
    field = wanted.field.encode()
    if wanted.all:
        return [form(raw) for raw in headers.all(field)]
    raw = headers.last(field)
    return None if raw is None else form(raw)


def header_list(headers: Headers) -> list[dict[str, str]]:
    """Return the `headers` property: all fields in order, raw (RFC 8621 §4.1.3)."""
    return [
        {"name": to_text(name), "value": to_text(value.removesuffix(b"\n").removesuffix(b"\r"))}
        for name, value in headers.fields
    ]
