"""The use cases of MailboxService, together."""

from __future__ import annotations

from dataclasses import dataclass

from petitbleu_store.core import Core
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.blobs import Blobs
from petitbleu_store.service.changes import Changes
from petitbleu_store.service.imports import Imports
from petitbleu_store.service.keyword_names import KeywordNames
from petitbleu_store.service.mailboxes import Mailboxes
from petitbleu_store.service.purging import Purging
from petitbleu_store.service.queries import Queries
from petitbleu_store.service.reading import Reading
from petitbleu_store.service.removed_reading import RemovedReading
from petitbleu_store.service.restoring import Restoring
from petitbleu_store.service.restoring_mailboxes import RestoringMailboxes
from petitbleu_store.service.search import Search
from petitbleu_store.service.share_ends import ShareEnds
from petitbleu_store.service.share_notices import ShareNotices
from petitbleu_store.service.snippets import Snippets
from petitbleu_store.service.updates import Updates
from petitbleu_store.service.views import Views
from petitbleu_store.service.words import Words


@dataclass(frozen=True, slots=True)
class MailboxCases:
    """What one account may ask for."""

    core: Core
    book: AccountBook
    reading: Reading
    queries: Queries
    changes: Changes
    updates: Updates
    imports: Imports
    mailboxes: Mailboxes
    blobs: Blobs
    removed: RemovedReading
    restoring: Restoring
    restoring_mailboxes: RestoringMailboxes
    purging: Purging
    snippets: Snippets
    views: Views
    notices: ShareNotices
    ends: ShareEnds

    @classmethod
    def make(cls, core: Core, book: AccountBook, names: KeywordNames, search: Search, words: Words) -> MailboxCases:
        """Wire them."""
        reading = Reading(core, names)
        mailboxes = Mailboxes(core, book)
        return cls(
            core, book, reading, Queries(core, search.texts), Changes(core), Updates(core, words), Imports(core, book, names),
            mailboxes, Blobs(core), RemovedReading(core, names), Restoring(core, reading), RestoringMailboxes(core),
            Purging(core), search.snippets, Views(core, book), ShareNotices(core), ShareEnds(core, book, mailboxes),
        )  # fmt: skip

    async def account(self, account_id: int) -> KnownAccount:
        """Return an account.

        Raises:
            StoreError: NOT_FOUND.
        """
        return await self.book.one(self.core.pool, account_id)
