"""Search, wired: the index, what it answers, and the processes that read mail and attachments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from petitbleu_store.adapters.extraction.pool import ExtractionPool
from petitbleu_store.adapters.mail_reader.process import MailReader
from petitbleu_store.core import Core
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.mail_loading import MailLoader
from petitbleu_store.service.search_index import SearchIndex
from petitbleu_store.service.snippets import Snippets
from petitbleu_store.service.text_search import TextSearch
from petitbleu_store.service.turns import Turns

# Searches of one process at once, and those of one account that may wait.
_AT_ONCE: Final = 3
_MOST_WAITING: Final = 32


@dataclass(frozen=True, slots=True)
class Search:
    """The parts of search."""

    index: SearchIndex
    texts: TextSearch
    snippets: Snippets
    extraction: ExtractionPool
    reader: MailReader
    loader: MailLoader

    @classmethod
    def make(cls, core: Core, book: AccountBook) -> Search:
        """Wire them; no process is started before it is needed."""
        extraction = ExtractionPool()
        loader = MailLoader(core, extraction)
        reader = MailReader(0)
        index = SearchIndex(core, book, loader, reader)
        turns = Turns(_AT_ONCE, _MOST_WAITING)
        texts = TextSearch(core, index, loader, reader, turns)
        return cls(index, texts, Snippets(core, loader, reader, turns), extraction, reader, loader)

    async def close(self) -> None:
        """End the processes."""
        await self.index.close()
        await self.reader.close()
        await self.extraction.close()
