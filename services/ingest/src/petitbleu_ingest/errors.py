"""Every refusal that is ingest's own, each with its reply; those of the grammar are `petitbleu_mail.smtp_faults.Fault`."""

from __future__ import annotations

from enum import Enum
from typing import Final

from petitbleu_mail.same_reading import Oddity
from petitbleu_mail.smtp_faults import Fault
from petitbleu_mail.status import Reply, Status

_LATER_POLICY: Final = Status("4.7.0")


class Refusal(Enum):
    """A refusal; `value` is its reply, `wire` the reply as sent."""

    # the session
    SHUTTING_DOWN = Reply(421, Status.NOT_ACCEPTING, "Going down, try again")  # RFC 5321 §3.8
    TIMEOUT = Reply(421, Status.BAD_CONNECTION, "Waited too long for you")
    SESSION_TOO_LONG = Reply(421, Status.BAD_CONNECTION, "This session has lasted long enough")
    TOO_MANY_SESSIONS = Reply(421, _LATER_POLICY, "Too many connections, try again later")
    TOO_FAST = Reply(421, _LATER_POLICY, "Too many new connections from you, try again later")
    TOO_MANY_ERRORS = Reply(421, _LATER_POLICY, "Too many errors")
    TOO_MANY_UNKNOWN = Reply(421, _LATER_POLICY, "Too many unknown recipients")
    TOO_MANY_MESSAGES = Reply(421, _LATER_POLICY, "Too many messages in this session")
    # order of commands
    HELLO_FIRST = Reply(503, Status.BAD_SEQUENCE, "Say EHLO or HELO first")  # RFC 5321 §4.1.4
    MAIL_FIRST = Reply(503, Status.BAD_SEQUENCE, "MAIL first")
    MAIL_NESTED = Reply(503, Status.BAD_SEQUENCE, "MAIL was given already")
    NO_RECIPIENTS = Reply(554, Status.BAD_SEQUENCE, "No valid recipients")  # RFC 5321 §3.3
    RCPT_FIRST = Reply(503, Status.BAD_SEQUENCE, "RCPT first")
    CHUNKS_BEGUN = Reply(503, Status.BAD_SEQUENCE, "Not between BDAT chunks")  # RFC 3030 §2
    NOT_CRLF = Reply(500, Status.BAD_SYNTAX, "Lines end with CRLF")  # RFC 5321 §2.3.8
    NOT_IMPLEMENTED = Reply(502, Status.BAD_SEQUENCE, "Command not implemented")  # RFC 5321 §4.2.4
    # TLS
    TLS_NOT_OFFERED = Reply(502, Status.BAD_SEQUENCE, "STARTTLS is not offered")
    TLS_ALREADY = Reply(503, Status.BAD_SEQUENCE, "TLS is active already")
    TLS_PIPELINED = Reply(503, Status.BAD_SEQUENCE, "Nothing may follow STARTTLS before its reply")  # RFC 3207 §4.2
    # who submits (RFC 4954 §6)
    AUTH_FIRST = Reply(530, Status("5.7.0"), "Log in first")
    AUTH_NEEDS_TLS = Reply(538, Status("5.7.11"), "Begin TLS before you log in")
    AUTH_ALREADY = Reply(503, Status.BAD_SEQUENCE, "Not now")
    AUTH_UNKNOWN = Reply(504, Status.BAD_ARGUMENTS, "No such mechanism here")
    AUTH_UNREADABLE = Reply(501, Status.BAD_ARGUMENTS, "Cannot read that response")
    AUTH_CANCELLED = Reply(501, Status("5.7.0"), "Given up")
    AUTH_WRONG = Reply(535, Status("5.7.8"), "Wrong login or password")
    AUTH_TROUBLE = Reply(454, _LATER_POLICY, "Cannot check that now, try again")
    AUTH_OVER = Reply(421, _LATER_POLICY, "Your login does not hold any more, log in again")
    AUTH_TOO_MANY = Reply(421, _LATER_POLICY, "Too many tries, come back later")
    SENDER_NOT_YOURS = Reply(553, Status.POLICY, "That sender is not yours")
    FROM_NOT_YOURS = Reply(550, Status.POLICY, "The message is from an address that is not yours")
    SUSPENDED = Reply(550, Status.POLICY, "Sending is suspended for this account, ask its administrator")
    FROM_MISSING = Reply(554, Status("5.6.0"), "The message needs one From field with an address")
    FROM_TOO_LONG = Reply(554, Status("5.6.0"), "From or Sender is too long to be checked")
    FROM_UNCLEAR = Reply(
        554, Status("5.6.0"), "From or Sender can be read in more ways than one"
    )  # RFC 5322 §3.4, §3.6.2
    HEADER_LINE_END = Reply(554, Status("5.6.0"), Oddity.LINE_END.value)  # RFC 5321 §2.3.8
    HEADER_CONTROL = Reply(554, Status("5.6.0"), Oddity.CONTROL.value)
    HEADER_NOT_FIELDS = Reply(554, Status("5.6.0"), Oddity.NOT_FIELDS.value)  # RFC 5322 §2.2
    HEADER_TOO_MANY_FIELDS = Reply(554, Status("5.6.0"), Oddity.TOO_MANY_FIELDS.value)
    # sender
    PARAMETER_UNAVAILABLE = Reply(555, Status.BAD_ARGUMENTS, "Parameter not available")  # RFC 5321 §4.1.1.11
    HELD_TOO_LONG = Reply(501, Status.BAD_ARGUMENTS, "Mail is not held for so long")  # RFC 4865 §4
    MESSAGE_TOO_BIG = Reply(552, Status.MESSAGE_TOO_BIG, "Message too big")  # RFC 1870 §6.1
    # recipients
    UNKNOWN_RECIPIENT = Reply(550, Status.BAD_MAILBOX, "No such mailbox here")
    OVER_QUOTA = Reply(452, Status.MAILBOX_FULL, "Mailbox full")
    DISABLED_RECIPIENT = Reply(550, Status.MAILBOX_DISABLED, "Mailbox disabled")
    RELAY_DENIED = Reply(550, Status.POLICY, "Relaying denied")  # RFC 5321 §3.6.2
    DIRECTORY_TROUBLE = Reply(451, Status.DIRECTORY_FAILED, "Cannot look that recipient up now")
    TOO_MANY_RECIPIENTS = Reply(452, Status.TOO_MANY_RECIPIENTS, "Too many recipients")  # RFC 5321 §4.5.3.1.10
    # message
    BARE_LINE_END = Reply(550, Status.CONTENT_REFUSED, "Bare CR or LF in message")  # RFC 5321 §2.3.8
    TEXT_LINE_TOO_LONG = Reply(550, Status.CONTENT_REFUSED, "Line too long in message")
    HEADER_TOO_BIG = Reply(552, Status.MESSAGE_TOO_BIG, "Header too big")  # RFC 5321 §4.5.3.1.9: X.3.4 of RFC 3463 §3.4
    DMARC = Reply(550, Status.POLICY, "Refused as the author's domain asks for (DMARC)")  # RFC 9989 §5.4
    SPAM = Reply(550, Status.POLICY, "Refused as spam")
    LISTED = Reply(550, Status.POLICY, "Refused: your address is on a block list")
    VIRUS = Reply(550, Status("5.7.0"), "Refused: malicious content")
    VIRUS_SUBMITTED = Reply(550, Status.POLICY, "Not sent: there is malicious content in it")
    LATER = Reply(451, Status("4.7.1"), "Try again later")
    GREYLISTED = Reply(450, Status("4.7.1"), "Greylisted: try again in some minutes")  # RFC 6647 §5
    NOT_SCANNED = Reply(451, _LATER_POLICY, "Cannot be looked through now, try again")
    LOOP = Reply(554, Status.ROUTING_LOOP, "Too many hops")  # RFC 5321 §6.3
    SYSTEM_TROUBLE = Reply(451, Status.SYSTEM_TROUBLE, "Cannot take the message now, try again")
    SYSTEM_FULL = Reply(452, Status.SYSTEM_FULL, "Too much mail in transfer, try again")

    @property
    def reply(self) -> Reply:
        """The reply."""
        return self.value


# An Enum hashes slowly and its property is a call; the hot path takes the ready octets.
REFUSAL_WIRE: Final[dict[Refusal, bytes]] = {refusal: refusal.value.encode() for refusal in Refusal}
FAULT_WIRE: Final[dict[Fault, bytes]] = {fault: fault.value.encode() for fault in Fault}
