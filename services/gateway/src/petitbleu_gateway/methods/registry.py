"""Every method that this server has, with the capability that it belongs to (RFC 8620 §3.3, RFC 8621 §1.3, RFC 9404 §3.1)."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from petitbleu_gateway.domain.small_lists import ListQuery, ListQueryChanges
from petitbleu_gateway.jmap.calls import AccountArguments, Method, Registry
from petitbleu_gateway.jmap.envelope import (
    BLOB,
    CORE,
    FAMILY,
    FILTERS,
    MAIL,
    MDN,
    PRINCIPALS,
    QUOTA,
    SENDERS,
    SIEVE,
    SUBMISSION,
    UNDO,
    VACATION,
)
from petitbleu_gateway.methods import (
    blob_copy,
    blob_get,
    blob_lookup,
    blob_upload,
    core,
    deleted_email,
    deleted_mailbox,
    email_copy,
    email_get,
    email_import,
    email_parse,
    email_query,
    email_query_changes,
    email_set,
    identity,
    identity_set,
    mailbox,
    mailbox_query,
    mailbox_set,
    mdn,
    principal,
    quota,
    search_snippet,
    sieve_script,
    sieve_script_set,
    thread,
    vacation,
)
from petitbleu_gateway.methods import share_notification as notices
from petitbleu_gateway.methods.changes import ChangesArguments, email_changes, thread_changes
from petitbleu_gateway.methods.email_submission import SubmissionGet, SubmissionReading, Submissions
from petitbleu_gateway.methods.email_submission_set import SubmissionSet, SubmissionSetting
from petitbleu_gateway.methods.family import (
    AuditGet,
    ChildArguments,
    CorrespondentAsk,
    FamilyMethods,
    LevelSet,
    LinkOpen,
    PendingCancel,
    SenderDecision,
    VoiceSet,
)
from petitbleu_gateway.methods.filter_rules import FilterRulesMethods, FilterRulesSet
from petitbleu_gateway.methods.guardians import (
    GuardianInvite,
    GuardianMethods,
    GuardianOf,
    InvitationAnswer,
    InvitationOf,
)
from petitbleu_gateway.methods.listed_sender import ListedSenderMethods, SenderSay
from petitbleu_gateway.methods.push_subscription import (
    PushSubscriptionGet,
    PushSubscriptionMethods,
    PushSubscriptionSet,
)
from petitbleu_gateway.methods.schools import ClassGet, ClassOf, ClassSay, SchoolMethods
from petitbleu_gateway.methods.small_get import SmallGet

# What works on mailboxes that others share. Whatever is not named here knows nothing of other accounts, and is refused for them.
_SHARED: Final = frozenset(
    {
        "Mailbox/get", "Mailbox/changes", "Mailbox/query", "Mailbox/queryChanges", "Mailbox/set", "Thread/get", "Thread/changes",
        "Email/get", "Email/query", "Email/queryChanges", "Email/changes", "Email/set", "Email/copy", "Email/import", "Email/parse",
        "SearchSnippet/get", "Blob/copy", "Blob/upload", "Blob/get", "Blob/lookup",
    }
)  # fmt: skip


def build_registry(
    push: PushSubscriptionMethods | None = None, submissions: Submissions | None = None, most_octets: int = 0,
    family: FamilyMethods | None = None, senders: ListedSenderMethods | None = None,
    filters: FilterRulesMethods | None = None, guardians: GuardianMethods | None = None,
    schools: SchoolMethods | None = None,
) -> Registry:  # fmt: skip
    """Return method name → method; those of push subscriptions, of submissions, of families, of who guards, of schools, of listed senders and of filter rules when there is who keeps them."""
    methods: dict[str, Method[Any]] = {
        "Core/echo": Method(CORE, dict, core.echo),
        "Mailbox/get": Method(MAIL, mailbox.MailboxGet, mailbox.mailbox_get),
        "Mailbox/changes": Method(MAIL, ChangesArguments, mailbox.mailbox_changes),
        "Mailbox/query": Method(MAIL, mailbox_query.MailboxQuery, mailbox_query.mailbox_query),
        "Mailbox/queryChanges": Method(MAIL, mailbox_query.MailboxQueryChanges, mailbox_query.mailbox_query_changes),
        "Mailbox/set": Method(MAIL, mailbox_set.MailboxSet, mailbox_set.mailbox_set),
        "Thread/get": Method(MAIL, thread.ThreadGet, thread.thread_get),
        "Thread/changes": Method(MAIL, ChangesArguments, thread_changes),
        "Email/get": Method(MAIL, email_get.EmailGet, email_get.email_get),
        "Email/query": Method(MAIL, email_query.EmailQuery, email_query.email_query),
        "Email/queryChanges": Method(
            MAIL, email_query_changes.EmailQueryChanges, email_query_changes.email_query_changes
        ),
        "Email/changes": Method(MAIL, ChangesArguments, email_changes),
        "Email/set": Method(MAIL, email_set.EmailSet, email_set.email_set),
        "Email/copy": Method(MAIL, email_copy.EmailCopy, email_copy.email_copy),
        "Email/import": Method(MAIL, email_import.EmailImport, email_import.email_import),
        "Email/parse": Method(MAIL, email_parse.EmailParse, email_parse.email_parse),
        # RFC 8621 §1.3.2: identities are of the capability of submission
        "Identity/get": Method(SUBMISSION, SmallGet, identity.identity_get),
        "Identity/changes": Method(SUBMISSION, ChangesArguments, identity.identity_changes),
        "Identity/set": Method(SUBMISSION, identity_set.IdentitySet, identity_set.identity_set),
        "VacationResponse/get": Method(VACATION, vacation.VacationGet, vacation.vacation_get),
        "VacationResponse/set": Method(VACATION, vacation.VacationSet, vacation.vacation_set),
        "SieveScript/get": Method(SIEVE, SmallGet, sieve_script.sieve_script_get),
        "SieveScript/set": Method(SIEVE, sieve_script_set.SieveScriptSet, sieve_script_set.sieve_script_set),
        "SieveScript/query": Method(SIEVE, ListQuery, sieve_script.sieve_script_query),
        "SieveScript/validate": Method(SIEVE, sieve_script.SieveScriptValidate, sieve_script.sieve_script_validate),
        "MDN/parse": Method(MDN, mdn.MdnParse, mdn.mdn_parse),
        "Quota/get": Method(QUOTA, quota.QuotaGet, quota.quota_get),
        "Quota/changes": Method(QUOTA, ChangesArguments, quota.quota_changes),
        "Quota/query": Method(QUOTA, quota.QuotaQuery, quota.quota_query),
        "Quota/queryChanges": Method(QUOTA, quota.QuotaQueryChanges, quota.quota_query_changes),
        "DeletedEmail/get": Method(UNDO, deleted_email.DeletedGet, deleted_email.deleted_email_get),
        "DeletedEmail/changes": Method(UNDO, ChangesArguments, deleted_email.deleted_email_changes),
        "DeletedEmail/query": Method(UNDO, deleted_email.DeletedEmailQuery, deleted_email.deleted_email_query),
        "DeletedEmail/set": Method(UNDO, deleted_email.DeletedSet, deleted_email.deleted_email_set),
        "DeletedEmail/restore": Method(UNDO, deleted_email.DeletedEmailRestore, deleted_email.deleted_email_restore),
        "DeletedMailbox/get": Method(UNDO, deleted_email.DeletedGet, deleted_mailbox.deleted_mailbox_get),
        "DeletedMailbox/changes": Method(UNDO, ChangesArguments, deleted_mailbox.deleted_mailbox_changes),
        "DeletedMailbox/set": Method(UNDO, deleted_email.DeletedSet, deleted_mailbox.deleted_mailbox_set),
        "DeletedMailbox/restore": Method(
            UNDO, deleted_mailbox.DeletedMailboxRestore, deleted_mailbox.deleted_mailbox_restore
        ),
        "SearchSnippet/get": Method(MAIL, search_snippet.SearchSnippetGet, search_snippet.search_snippet_get),
        "Blob/copy": Method(CORE, blob_copy.BlobCopy, blob_copy.blob_copy),
        "Blob/upload": Method(BLOB, blob_upload.BlobUpload, blob_upload.blob_upload),
        "Blob/get": Method(BLOB, blob_get.BlobGet, blob_get.blob_get),
        "Blob/lookup": Method(BLOB, blob_lookup.BlobLookup, blob_lookup.blob_lookup),
    }
    methods.update(
        {
            "Principal/get": Method(PRINCIPALS, principal.PrincipalGet, principal.principal_get),
            "Principal/changes": Method(PRINCIPALS, ChangesArguments, principal.principal_changes),
            "Principal/query": Method(PRINCIPALS, ListQuery, principal.principal_query),
            "Principal/queryChanges": Method(PRINCIPALS, ListQueryChanges, principal.principal_query_changes),
            "Principal/set": Method(PRINCIPALS, principal.PrincipalSet, principal.principal_set),
            "ShareNotification/get": Method(PRINCIPALS, notices.NotificationGet, notices.notification_get),
            "ShareNotification/changes": Method(PRINCIPALS, ChangesArguments, notices.notification_changes),
            "ShareNotification/query": Method(PRINCIPALS, ListQuery, notices.notification_query),
            "ShareNotification/queryChanges": Method(PRINCIPALS, ListQueryChanges, notices.notification_query_changes),
            "ShareNotification/set": Method(PRINCIPALS, notices.NotificationSet, notices.notification_set),
        }
    )
    if submissions is not None:
        reading, setting = SubmissionReading(submissions), SubmissionSetting(submissions, most_octets)
        methods.update(
            {
                "EmailSubmission/get": Method(SUBMISSION, SubmissionGet, reading.get),
                "EmailSubmission/changes": Method(SUBMISSION, ChangesArguments, reading.changes),
                "EmailSubmission/query": Method(SUBMISSION, ListQuery, reading.query),
                "EmailSubmission/queryChanges": Method(SUBMISSION, ListQueryChanges, reading.query_changes),
                "EmailSubmission/set": Method(SUBMISSION, SubmissionSet, setting.set),
            }
        )
    if family is not None:
        methods.update(
            {
                "GuardedChild/get": Method(FAMILY, AccountArguments, family.children),
                "GuardedChild/setLevel": Method(FAMILY, LevelSet, family.set_level),
                "WaitingSender/get": Method(FAMILY, ChildArguments, family.waiting),
                "WaitingSender/decide": Method(FAMILY, SenderDecision, family.decide),
                "Correspondent/get": Method(FAMILY, ChildArguments, family.correspondents),
                "Correspondent/say": Method(FAMILY, VoiceSet, family.say),
                "Correspondent/ask": Method(FAMILY, CorrespondentAsk, family.ask),
                "AlertLink/open": Method(FAMILY, LinkOpen, family.open_link),
                "PendingChange/get": Method(FAMILY, ChildArguments, family.pending),
                "PendingChange/cancel": Method(FAMILY, PendingCancel, family.cancel),
                "GuardAudit/get": Method(FAMILY, AuditGet, family.audit),
            }
        )
    if guardians is not None:
        methods.update(
            {
                "Guardian/get": Method(FAMILY, ChildArguments, guardians.get),
                "Guardian/invite": Method(FAMILY, GuardianInvite, guardians.invite),
                "Guardian/withdraw": Method(FAMILY, InvitationOf, guardians.withdraw),
                "Guardian/agreeToLeaving": Method(FAMILY, GuardianOf, guardians.agree),
                "Guardian/forgetLeaving": Method(FAMILY, GuardianOf, guardians.forget),
                "GuardianInvitation/get": Method(FAMILY, AccountArguments, guardians.mine),
                "GuardianInvitation/answer": Method(FAMILY, InvitationAnswer, guardians.answer),
            }
        )
    if schools is not None:
        methods["SchoolClass/get"] = Method(FAMILY, ClassGet, schools.get)
        methods["SchoolClass/members"] = Method(FAMILY, ClassOf, schools.members)
        methods["SchoolClass/say"] = Method(FAMILY, ClassSay, schools.say)
    if senders is not None:
        methods["ListedSender/get"] = Method(SENDERS, AccountArguments, senders.get)
        methods["ListedSender/say"] = Method(SENDERS, SenderSay, senders.say)
    if filters is not None:
        methods["FilterRules/get"] = Method(FILTERS, AccountArguments, filters.get)
        methods["FilterRules/set"] = Method(FILTERS, FilterRulesSet, filters.set)
    if push is not None:
        methods["PushSubscription/get"] = Method(CORE, PushSubscriptionGet, push.get)
        methods["PushSubscription/set"] = Method(CORE, PushSubscriptionSet, push.set)
    return {
        name: dataclasses.replace(method, shared=True) if name in _SHARED else method
        for name, method in methods.items()
    }
