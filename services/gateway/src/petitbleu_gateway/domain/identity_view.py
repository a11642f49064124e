"""Identity objects (RFC 8621 §6): shown, and read from what a client sends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu_gateway.domain.json_pointers import unescape
from petitbleu_gateway.errors import Invalid, SetError, SetFault, invalid

PROPERTIES: Final = ("id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete")
_SERVER_SET: Final = ("id", "mayDelete")
_MAX_ADDRESSES: Final = 1_000


def shown(identity: pb.Identity) -> dict[str, Any]:
    """Return the whole object."""
    return {
        "id": f"I{identity.identity_id}",
        "name": identity.name,
        "email": identity.email,
        "replyTo": _addresses(identity.reply_to.addresses) if identity.HasField("reply_to") else None,
        "bcc": _addresses(identity.bcc.addresses) if identity.HasField("bcc") else None,
        "textSignature": identity.text_signature,
        "htmlSignature": identity.html_signature,
        "mayDelete": identity.may_delete,
    }


def _addresses(addresses: Iterable[pb.EmailAddress]) -> list[dict[str, Any]]:
    return [{"name": one.name if one.HasField("name") else None, "email": one.email} for one in addresses]


def new_identity(given: dict[str, Any]) -> pb.IdentityUpdate:
    """Return the creation of an identity.

    Raises:
        SetError: `invalidProperties` for what an identity does not have, or not so.
    """
    update = pb.IdentityUpdate()
    wrong = Invalid()
    with wrong:
        email = given.get("email")
        if not isinstance(email, str) or not email:
            raise invalid("email")
        update.email = email
    for name, value in given.items():
        if name != "email":
            with wrong:
                _set(update, name, value)
    wrong.settle()
    return update


def changed_identity(patch: dict[str, Any], known: dict[str, Any] | None) -> pb.IdentityUpdate:
    """Return what a patch (RFC 8620 §5.3) changes of an identity; `known` is None while it is only being made.

    Raises:
        SetError: `invalidPatch`, `invalidProperties`.
    """
    update = pb.IdentityUpdate()
    wrong = Invalid()
    for pointer, value in patch.items():
        tokens = tuple(unescape(pointer) or ())
        if len(tokens) != 1:
            raise SetError(SetFault.INVALID_PATCH, "nothing can be patched there")
        with wrong:
            # RFC 8620 §5.3: what cannot change may be sent as it is; RFC 8621 §6: email is immutable
            if tokens[0] not in {"email", *_SERVER_SET}:
                _set(update, tokens[0], value)
            elif known is None or known[tokens[0]] != value:
                raise invalid(tokens[0], why="it cannot change")
    wrong.settle()
    return update


def _set(update: pb.IdentityUpdate, name: str, value: Any) -> None:
    # null sets the default (RFC 8620 §5.3): the empty string, or no addresses
    if name in {"name", "textSignature", "htmlSignature"}:
        if value is not None and not isinstance(value, str):
            raise invalid(name)
        field = {"name": "name", "textSignature": "text_signature", "htmlSignature": "html_signature"}[name]
        setattr(update, field, value or "")
    elif name == "replyTo":
        update.reply_to.CopyFrom(_read_addresses(name, value))
    elif name == "bcc":
        update.bcc.CopyFrom(_read_addresses(name, value))
    else:
        raise invalid(name, why="no such property" if name not in PROPERTIES else "the server sets it")


def _read_addresses(name: str, value: Any) -> pb.EmailAddresses:
    """Return EmailAddress objects (RFC 8621 §4.1.2.3)."""
    found = pb.EmailAddresses()
    if value is None:
        return found
    if not isinstance(value, list) or len(value) > _MAX_ADDRESSES:
        raise invalid(name)
    for one in value:
        if not isinstance(one, dict) or not {"email"} <= one.keys() <= {"name", "email"}:
            raise invalid(name)
        shown_name = one.get("name")
        if not isinstance(one["email"], str) or not isinstance(shown_name, str | None):
            raise invalid(name)
        found.addresses.add(name=shown_name, email=one["email"])
    return found
