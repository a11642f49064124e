"""The session object (RFC 8620 §2): what this server can do for a person, and nothing that it cannot."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from petitbleu_gateway.domain.email_sorts import SORTS
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.envelope import (
    BLOB,
    CAPABILITIES,
    CORE,
    FAMILY,
    FILTERS,
    MAIL,
    MDN,
    OWNER,
    PRINCIPALS,
    QUOTA,
    SENDERS,
    SIEVE,
    SUBMISSION,
    UNDO,
    VACATION,
    WEBPUSH,
    WEBSOCKET,
)  # fmt: skip
from petitbleu_gateway.ports import Identity
from petitbleu_gateway.service.shared_accounts import SharedAccount
from petitbleu_mail.collations import COLLATIONS
from petitbleu_mail.future_release import MAX_HOLD_SECONDS
from petitbleu_mail.mailbox_rules import MAX_DEPTH, MAX_NAME_OCTETS
from petitbleu_mail.sieve.catalog import DELIVERED_EXTENSIONS
from petitbleu_mail.sieve.faults import LIMITS
from petitbleu_mail.sieve.filter_form import MAX_RULES

API_PATH = "/jmap/api"
SESSION_PATH = "/jmap/session"
DOWNLOAD_PATH = "/jmap/download/"
UPLOAD_PATH = "/jmap/upload/"
EVENT_PATH = "/jmap/eventsource"
WEB_SOCKET_PATH = "/jmap/ws"

BLOB_TYPES = ("Mailbox", "Thread", "Email")
DIGESTS = ("sha-256", "sha-512", "sha")
MAX_DATA_SOURCES = 256
MAX_SCRIPTS = 32
"""Scripts that delivery keeps for an account."""
MAX_SCRIPT_NAME = 512
"""Octets of a script's name; RFC 9661 §1.2.1 wants no less."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits that the session object names and that the server keeps."""

    max_size_request: int
    max_concurrent_requests: int
    max_calls_in_request: int
    max_objects_in_get: int
    max_objects_in_set: int
    max_attachments_octets: int
    max_size_upload: int
    max_concurrent_upload: int
    max_size_blob_set: int
    application_server_key: str = ""


def capabilities_of(limits: SessionLimits) -> frozenset[str]:
    """Return what a request may use: what the session object tells of. RFC 9749 §3: push that a key signs needs a key."""
    return CAPABILITIES if limits.application_server_key else CAPABILITIES - {WEBPUSH}


def core_capability(limits: SessionLimits) -> dict[str, Any]:
    """Return the value of `urn:ietf:params:jmap:core` (RFC 8620 §2)."""
    return {
        "maxSizeUpload": limits.max_size_upload,
        "maxConcurrentUpload": limits.max_concurrent_upload,
        "maxSizeRequest": limits.max_size_request,
        "maxConcurrentRequests": limits.max_concurrent_requests,
        "maxCallsInRequest": limits.max_calls_in_request,
        "maxObjectsInGet": limits.max_objects_in_get,
        "maxObjectsInSet": limits.max_objects_in_set,
        "collationAlgorithms": list(COLLATIONS),
    }


def mail_capability(limits: SessionLimits) -> dict[str, Any]:
    """Return an account's value of `urn:ietf:params:jmap:mail` (RFC 8621 §1.3.1)."""
    return {
        "maxMailboxesPerEmail": None,
        "maxMailboxDepth": MAX_DEPTH,
        "maxSizeMailboxName": MAX_NAME_OCTETS,
        "maxSizeAttachmentsPerEmail": limits.max_attachments_octets,
        "emailQuerySortOptions": list(SORTS),
        "mayCreateTopLevelMailbox": True,
    }


def blob_capability(limits: SessionLimits) -> dict[str, Any]:
    """Return an account's value of `urn:ietf:params:jmap:blob` (RFC 9404 §3.1)."""
    return {
        "maxSizeBlobSet": limits.max_size_blob_set,
        "maxDataSources": MAX_DATA_SOURCES,
        "supportedTypeNames": list(BLOB_TYPES),
        "supportedDigestAlgorithms": list(DIGESTS),
    }


def submission_capability() -> dict[str, Any]:
    """Return an account's value of `urn:ietf:params:jmap:submission` (RFC 8621 §1.3.2).

    It says how long mail is held at most, and the SMTP extensions of which an envelope may have parameters.
    """
    return {
        "maxDelayedSend": MAX_HOLD_SECONDS,
        "submissionExtensions": {
            # RFC 4865 §3: the interval and the date; the interval rules
            "FUTURERELEASE": [str(MAX_HOLD_SECONDS), "9999-12-31T23:59:59Z"],
            "DSN": [], "8BITMIME": [], "SMTPUTF8": [], "SIZE": [], "REQUIRETLS": [],
        },
    }  # fmt: skip


def sieve_capability() -> dict[str, Any]:
    """Return an account's value of `urn:ietf:params:jmap:sieve` (RFC 9661 §1.2.1): what delivery keeps to."""
    return {
        "maxSizeScriptName": MAX_SCRIPT_NAME,
        "maxSizeScript": LIMITS.script_octets,
        "maxNumberScripts": MAX_SCRIPTS,
        "maxNumberRedirects": LIMITS.redirects,
        "sieveExtensions": list(DELIVERED_EXTENSIONS),
        "notificationMethods": ["mailto"],
        "externalLists": ["urn"],
    }


def websocket_capability(origin: str) -> dict[str, Any]:
    """Return the value of `urn:ietf:params:jmap:websocket` (RFC 8887 §3) for an origin of HTTP."""
    return {"url": f"ws{origin.removeprefix('http')}{WEB_SOCKET_PATH}", "supportsPush": True}


def shared_account(one: SharedAccount, limits: SessionLimits, own: str) -> dict[str, Any]:
    """Return what the session tells of an account that shares something with the person (RFC 8620 §2, RFC 9670 §1.5)."""
    return {
        "name": one.name,
        "isPersonal": False,
        "isReadOnly": one.read_only,
        "accountCapabilities": {
            CORE: {},
            MAIL: mail_capability(limits) | {"mayCreateTopLevelMailbox": False},
            BLOB: blob_capability(limits),
            OWNER: {"accountIdForPrincipal": own, "principalId": f"P{one.account_id}"},
        },
    }


def own_account(who: Identity, limits: SessionLimits) -> dict[str, Any]:
    """Return what the session tells of a person's own account (RFC 8620 §2)."""
    account = ids.account_id_text(who.account_id)
    return {
        "name": who.address,
        "isPersonal": True,
        "isReadOnly": False,
        "accountCapabilities": {
            CORE: {},
            MAIL: mail_capability(limits),
            BLOB: blob_capability(limits),
            QUOTA: {},
            SUBMISSION: submission_capability(),
            VACATION: {},  # RFC 8621 §1.3.3
            SIEVE: sieve_capability(),
            MDN: {},
            UNDO: {},
            FAMILY: {"isChild": who.is_child},
            SENDERS: {},
            FILTERS: {"maxRules": MAX_RULES},
            PRINCIPALS: {"currentUserPrincipalId": f"P{who.account_id}"},
            OWNER: {"accountIdForPrincipal": account, "principalId": f"P{who.account_id}"},  # RFC 9670 §1.5.2
        },
    }


def session_object(
    who: Identity, origin: str, limits: SessionLimits, shared: Sequence[SharedAccount] = ()
) -> dict[str, Any]:
    """Return the session object for a person who reaches us under `origin`, and with whom others share something."""
    account = ids.account_id_text(who.account_id)
    found: dict[str, Any] = {
        "capabilities": {
            CORE: core_capability(limits),
            MAIL: {},
            BLOB: {},
            WEBSOCKET: websocket_capability(origin),
            QUOTA: {},  # RFC 9425 §2.1
            SUBMISSION: {},
            VACATION: {},
            SIEVE: {"implementation": "Petit Bleu"},  # RFC 9661 §1.2.1
            MDN: {},  # RFC 9007 §1.3
            UNDO: {},
            FAMILY: {},
            SENDERS: {},
            FILTERS: {},
            PRINCIPALS: {},  # RFC 9670 §1.5.1
        },
        "accounts": {
            account: own_account(who, limits),
            **{
                ids.account_id_text(one.account_id): shared_account(one, limits, account)
                for one in shared
                if one.subscribed  # RFC 9670 §1.4
            },
        },
        # core has no data of its own, and SHOULD NOT be present
        "primaryAccounts": dict.fromkeys(
            (MAIL, BLOB, QUOTA, SUBMISSION, VACATION, SIEVE, MDN, UNDO, FAMILY, SENDERS, FILTERS, PRINCIPALS), account
        ),
        "username": who.address,
        "apiUrl": f"{origin}{API_PATH}",
        "downloadUrl": f"{origin}{DOWNLOAD_PATH}{{accountId}}/{{blobId}}/{{name}}?type={{type}}",
        "uploadUrl": f"{origin}{UPLOAD_PATH}{{accountId}}/",
        # templates of RFC 6570 level 1 (RFC 8620 §7.3)
        "eventSourceUrl": f"{origin}{EVENT_PATH}?types={{types}}&closeafter={{closeafter}}&ping={{ping}}",
    }
    if limits.application_server_key:  # RFC 9749 §3
        found["capabilities"][WEBPUSH] = {"applicationServerKey": limits.application_server_key}
    found["state"] = session_state(who, limits, shared)
    return found


def session_state(who: Identity, limits: SessionLimits, shared: Sequence[SharedAccount] = ()) -> str:
    """Return the state of the session object: it changes when anything in it does but its URLs (RFC 8620 §2)."""
    facts = _capabilities(limits) + msgspec.json.encode([who.account_id, who.address, *shared])
    return hashlib.blake2b(facts, digest_size=9).hexdigest()


@functools.cache
def _capabilities(limits: SessionLimits) -> bytes:
    return msgspec.json.encode(
        [
            core_capability(limits),
            mail_capability(limits),
            blob_capability(limits),
            WEBSOCKET,
            QUOTA,
            MDN,
            UNDO,
            FAMILY,
            limits.application_server_key,
            PRINCIPALS,
            submission_capability(),
            sieve_capability(),
        ]
    )
