"""The refusals of the SMTP grammar, each a named value that carries its reply."""

from __future__ import annotations

from enum import Enum

from petitbleu_mail.status import Reply, Status


class Fault(Enum):
    """A refusal by the grammar; `value` is its reply."""

    UNKNOWN_COMMAND = Reply(500, Status.BAD_SYNTAX, "Command not recognised")
    NOT_ASCII = Reply(500, Status.BAD_SYNTAX, "Command contains octets that it must not")
    LINE_TOO_LONG = Reply(500, Status.BAD_SYNTAX, "Line too long")  # RFC 5321 §4.5.3.1.9
    # RFC 2034 §4: no enhanced status in replies to HELO and EHLO
    HELO_SYNTAX = Reply(501, None, "Say your domain or address literal")
    MAIL_SYNTAX = Reply(501, Status.BAD_SYNTAX, "Syntax: MAIL FROM:<address> [parameters]")
    RCPT_SYNTAX = Reply(501, Status.BAD_SYNTAX, "Syntax: RCPT TO:<address> [parameters]")
    NO_ARGUMENT = Reply(501, Status.BAD_ARGUMENTS, "This command takes no argument")
    ARGUMENT_MISSING = Reply(501, Status.BAD_ARGUMENTS, "This command needs an argument")
    SENDER_SYNTAX = Reply(501, Status.BAD_SENDER_SYNTAX, "Bad sender address")
    RECIPIENT_SYNTAX = Reply(501, Status.BAD_DESTINATION_SYNTAX, "Bad recipient address")
    SENDER_TOO_LONG = Reply(501, Status.BAD_SENDER_SYNTAX, "Sender address too long")
    RECIPIENT_TOO_LONG = Reply(501, Status.BAD_DESTINATION_SYNTAX, "Recipient address too long")
    # RFC 6531 §3.5: 550 or 553 by the command, with X.6.7
    SENDER_NEEDS_UTF8 = Reply(550, Status.NEEDS_SMTPUTF8, "Sender address needs SMTPUTF8")
    RECIPIENT_NEEDS_UTF8 = Reply(553, Status.NEEDS_SMTPUTF8, "Recipient address needs SMTPUTF8")
    UNKNOWN_PARAMETER = Reply(555, Status.BAD_ARGUMENTS, "Parameter not recognised")  # RFC 5321 §4.1.1.11
    REPEATED_PARAMETER = Reply(501, Status.BAD_ARGUMENTS, "Parameter given twice")
    SIZE_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad SIZE value")
    BODY_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad BODY value")
    SMTPUTF8_VALUE = Reply(501, Status.BAD_ARGUMENTS, "SMTPUTF8 takes no value")
    RET_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad RET value")
    ENVID_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad ENVID value")
    AUTH_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad AUTH value")
    HOLDFOR_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad HOLDFOR value")
    HOLDUNTIL_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad HOLDUNTIL value")
    HOLD_TWICE = Reply(501, Status.BAD_ARGUMENTS, "HOLDFOR or HOLDUNTIL, not both")
    NOTIFY_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad NOTIFY value")
    ORCPT_VALUE = Reply(501, Status.BAD_ARGUMENTS, "Bad ORCPT value")
    BDAT_SYNTAX = Reply(501, Status.BAD_ARGUMENTS, "Syntax: BDAT size [LAST]")
    AUTH_SYNTAX = Reply(501, Status.BAD_ARGUMENTS, "Syntax: AUTH mechanism [initial-response]")

    @property
    def reply(self) -> Reply:
        """The reply that tells the client."""
        return self.value
