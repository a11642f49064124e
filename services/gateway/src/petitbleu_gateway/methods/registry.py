"""Every method that this server has, with the capability that it belongs to (RFC 8620 §3.3, RFC 8621 §1.3)."""

from __future__ import annotations

from typing import Any

from petitbleu_gateway.jmap.calls import Method, Registry
from petitbleu_gateway.jmap.envelope import CORE, MAIL
from petitbleu_gateway.methods import core, email_get, email_query, email_set, mailbox, thread
from petitbleu_gateway.methods.changes import ChangesArguments, email_changes, thread_changes


def build_registry() -> Registry:
    """Return method name → method."""
    methods: dict[str, Method[Any]] = {
        "Core/echo": Method(CORE, dict, core.echo),
        "Mailbox/get": Method(MAIL, mailbox.MailboxGet, mailbox.mailbox_get),
        "Mailbox/changes": Method(MAIL, ChangesArguments, mailbox.mailbox_changes),
        "Thread/get": Method(MAIL, thread.ThreadGet, thread.thread_get),
        "Thread/changes": Method(MAIL, ChangesArguments, thread_changes),
        "Email/get": Method(MAIL, email_get.EmailGet, email_get.email_get),
        "Email/query": Method(MAIL, email_query.EmailQuery, email_query.email_query),
        "Email/changes": Method(MAIL, ChangesArguments, email_changes),
        "Email/set": Method(MAIL, email_set.EmailSet, email_set.email_set),
    }
    return methods
