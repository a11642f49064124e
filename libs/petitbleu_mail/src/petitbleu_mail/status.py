"""Enhanced mail system status codes (RFC 3463) and the replies that carry them (RFC 2034, RFC 5321 §4.2)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """The codes that Petit Bleu says, named as the IANA registry describes them (RFC 3463 §3, RFC 5248)."""

    OK = "2.0.0"
    SENDER_OK = "2.1.0"
    RECIPIENT_OK = "2.1.5"
    MESSAGE_OK = "2.6.0"
    AUTHENTICATED = "2.7.0"
    # X.1.X, addressing
    BAD_MAILBOX = "5.1.1"
    BAD_DESTINATION_SYSTEM = "5.1.2"
    BAD_DESTINATION_SYNTAX = "5.1.3"
    MAILBOX_MOVED = "5.1.6"
    BAD_SENDER_SYNTAX = "5.1.7"
    BAD_SENDER_SYSTEM = "5.1.8"
    NULL_MX = "5.1.10"  # RFC 7505 §4.2
    SENDER_NULL_MX = "5.7.27"  # RFC 7505 §4.2
    LOOKUP_FAILED = "4.1.1"
    # X.2.X, mailbox
    MAILBOX_DISABLED = "5.2.1"
    MAILBOX_FULL = "4.2.2"
    MAILBOX_FULL_FOR_GOOD = "5.2.2"
    MESSAGE_TOO_LONG_FOR_MAILBOX = "5.2.3"
    # X.3.X, mail system
    SYSTEM_TROUBLE = "4.3.0"
    SYSTEM_FULL = "4.3.1"
    NOT_ACCEPTING = "4.3.2"
    MESSAGE_TOO_BIG = "5.3.4"
    # X.4.X, network and routing
    NO_ANSWER = "4.4.1"
    BAD_CONNECTION = "4.4.2"
    DIRECTORY_FAILED = "4.4.3"
    NO_ROUTE = "5.4.4"
    ROUTING_LOOP = "5.4.6"
    EXPIRED = "4.4.7"
    EXPIRED_FOR_GOOD = "5.4.7"
    # X.5.X, protocol
    BAD_SEQUENCE = "5.5.1"
    BAD_SYNTAX = "5.5.2"
    TOO_MANY_RECIPIENTS = "4.5.3"
    BAD_ARGUMENTS = "5.5.4"
    AUTH_LINE_TOO_LONG = "5.5.6"  # RFC 4954 §6
    # X.6.X, content
    CONTENT_REFUSED = "5.6.0"
    CONVERSION_NEEDED = "5.6.3"
    NEEDS_SMTPUTF8 = "5.6.7"  # RFC 6531 §3.5
    # X.7.X, security and policy
    POLICY = "5.7.1"
    POLICY_LATER = "4.7.1"
    SECURITY_FEATURES_WRONG = "5.7.4"
    CREDENTIALS_WRONG = "5.7.8"  # RFC 4954 §6
    MECHANISM_TOO_WEAK = "5.7.9"
    ENCRYPTION_NEEDED = "5.7.11"
    TEMPORARY_AUTH_FAILURE = "4.7.0"
    AUTH_REQUIRED = "5.7.0"
    SPF_FAILED = "5.7.23"  # RFC 7372 §3.2
    DKIM_FAILED = "5.7.20"  # RFC 7372 §3.1
    AUTHENTICATION_FAILED = "5.7.26"  # RFC 7372 §3.3


class Reply(msgspec.Struct, frozen=True):
    """One SMTP reply: the three digits, the enhanced status (absent where RFC 2034 §4 has none) and one or more lines."""

    code: int
    status: Status | None
    text: str

    def encode(self) -> bytes:
        """Return the reply as sent, each line with code and status (RFC 5321 §4.2.1, RFC 2034 §4)."""
        head = f"{self.code}"
        mark = f"{self.status} " if self.status is not None else ""
        lines = self.text.split("\n")
        sent = [f"{head}-{mark}{line}\r\n" for line in lines[:-1]]
        sent.append(f"{head} {mark}{lines[-1]}\r\n")
        return "".join(sent).encode("utf-8")
