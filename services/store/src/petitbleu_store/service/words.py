"""Junk by the words of an account: its model is asked when mail is filed, and learns from what its owner says of messages.

What to learn is read from the change log: nothing is written when a message is marked or moved. A model learns in the background, by the
process that heard of the mark; what that one forgets, by its death, is learnt with the next mark. It learns each message once, and unlearns
it when its owner thinks better of it.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Counter

from petitbleu.events.v1.events_pb2 import MessagesJudged
from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import word_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.mail_reader.process import MailReader, ReaderError
from petitbleu_store.adapters.mail_reader.requests import Features, Mail
from petitbleu_store.core import Core
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.lessons import MARKS, Lessons, State, calls_junk, lessons_of
from petitbleu_store.domain.standard_mailboxes import JUNK
from petitbleu_store.domain.words import BadModelError, Class, WordModel
from petitbleu_store.errors import StoreError
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.mail_loading import MailLoader, groups

_log = get_logger(__name__)
_weighed = Counter(
    "petitbleu_store_words_weighed_total", "Messages that an account's words were asked about", ["result"]
)
_learnt = Counter("petitbleu_store_words_learnt_total", "Messages that word models learnt, or learnt anew", ["class"])

_PLACE: Final = b"word model"
_READER_SECONDS: Final = 3.0
"""Mail is filed without its words' verdict when there is none by then."""
_BATCH_SECONDS: Final = 2.0
"""For all that is filed in one commit: what is behind is filed unweighed."""
_MODELS_AT_ONCE: Final = 32
_MAIL_OCTETS: Final = 1 << 20
"""Of a larger message its header alone is weighed."""
_WEIGHED_OCTETS: Final = 8 << 20
"""Octets of messages of one batch that are weighed whole; of those beyond, the header."""
_TICK_SECONDS: Final = 1.0
_REMEMBERED: Final = 10_000
_LOG_ROWS: Final = 2_000
"""Rows of the log that are looked at for one lesson; a new model begins so far back."""


@dataclass(slots=True)
class Weighing:
    """A message that one account's words are asked about."""

    account: KnownAccount
    mail: Mail
    junk: bool = False


class Words:
    """Models of words.

    Args:
        core: The shared parts.
        book: Accounts.
        loader: Opens messages.
    """

    def __init__(self, core: Core, book: AccountBook, loader: MailLoader) -> None:
        self._core = core
        self._book = book
        self._loader = loader
        self._threshold = core.settings.words_junk_probability
        self._reader = MailReader(0, _READER_SECONDS)
        self._teacher = MailReader(19)
        self._waiting: dict[int, None] = {}

    @property
    def waiting(self) -> int:
        """Accounts whose marks are not learnt yet, as far as this process knows."""
        return len(self._waiting)

    def heard(self, account_id: int, updates: Iterable[mailbox_pb2.MessageUpdate]) -> None:
        """Hear of what was done to messages: to call one junk, or not, is a lesson."""
        if len(self._waiting) < _REMEMBERED and any(_teaches(update) for update in updates):
            self._waiting[account_id] = None

    async def run(self) -> None:
        """Learn in the background, until cancelled."""
        await forever("store.words", _TICK_SECONDS, self.turn)

    async def close(self) -> None:
        """End the processes."""
        await self._reader.close()
        await self._teacher.close()

    async def turn(self) -> None:
        """Learn what was heard of."""
        await self._reader.rest()
        await self._teacher.rest()
        for account_id in list(self._waiting):
            del self._waiting[account_id]
            try:
                await self.learn(account_id)
            except ReaderError as error:
                _log.warning("words not learnt", account_id=account_id, reason=str(error))

    async def weigh(self, wanted: Sequence[Weighing]) -> None:
        """Say of messages whether they are junk to the accounts whose models speak; nothing is junk that cannot be weighed in time.

        Mail to hundreds of accounts at once is weighed for some of them at a time, and for no more than can be in a short while.
        """
        by_account: dict[int, list[Weighing]] = {}
        for one in wanted:
            by_account.setdefault(one.account.account_id, []).append(one)
        until = time.monotonic() + _BATCH_SECONDS
        groups = list(by_account.values())
        for start in range(0, len(groups), _MODELS_AT_ONCE):
            if time.monotonic() > until:
                _weighed.labels(result="late").inc(sum(map(len, groups[start:])))
                return
            await self._weigh(groups[start : start + _MODELS_AT_ONCE])

    async def _weigh(self, groups: Sequence[Sequence[Weighing]]) -> None:
        """Weigh what is for each of some accounts."""
        accounts: dict[int, KnownAccount] = {group[0].account.account_id: group[0].account for group in groups}
        places = sorted((account.partition, account.account_id) for account in accounts.values())
        sealed = await word_rows.models(self._core.pool, places)
        for mine in groups:
            account = mine[0].account
            octets = sealed.get(account.account_id)
            model = None if octets is None else self._opened(account, octets)
            if model is None or not model.speaks:
                continue
            try:
                words = await _features(self._reader, account, [one.mail for one in mine])
            except ReaderError as error:
                _weighed.labels(result="failed").inc(len(mine))
                _log.warning("words not weighed", account_id=account.account_id, reason=str(error))
                continue
            for one, found in zip(mine, words, strict=True):
                one.junk = model.probability(found) >= self._threshold
                _weighed.labels(result="junk" if one.junk else "kept").inc()

    async def learn(self, account_id: int) -> int:
        """Learn what an account's log says since the last time; return how many messages.

        Raises:
            ReaderError: they cannot be read now.
            ObjectsAwayError: S3 does not answer.
        """
        try:
            account = await self._book.one(self._core.pool, account_id)
        except StoreError:
            return 0
        learnt = 0
        while True:
            found = await self._pass(account)
            if found is None:
                return learnt
            model, version, what = found
            done = await self._learn(account, model, version, what)
            learnt += len(what.learn) if done else 0
            # who lost against another process leaves the rest to that one
            if not done or not what.more:
                return learnt

    async def _pass(self, account: KnownAccount) -> tuple[WordModel, int, Lessons] | None:
        """Return the account's model, its version, and what is to be learnt: None for nothing."""
        place = (account.partition, account.account_id)
        row = await word_rows.model(self._core.pool, *place)
        if row is None or row["guarded"]:
            return None
        model = self._opened(account, row["sealed"]) if row["version"] else None
        since = max(0, row["modseq"] - _LOG_ROWS) if model is None else row["learnt_modseq"]
        log = await word_rows.log(self._core.pool, *place, since, _LOG_ROWS)
        steps = [(entry["modseq"], entry["entity_id"], entry["op"]) for entry in log]
        ids = list(dict.fromkeys(message_id for _, message_id, _ in steps))
        rows = await word_rows.states(self._core.pool, *place, ids) if ids else []
        states = {row["message_id"]: State(row["flags"], row["mailbox_ids"] or (), Class(row["class"])) for row in rows}
        if not steps or (not row["version"] and not calls_junk(steps, states)):
            # who never called anything junk has no model, and nobody reads their mail for one
            return None
        model = model or WordModel()
        return model, row["version"], lessons_of(steps, states, model, more=len(log) == _LOG_ROWS)

    async def _learn(self, account: KnownAccount, model: WordModel, version: int, what: Lessons) -> bool:
        place = (account.partition, account.account_id)
        rows = await word_rows.mails(self._core.pool, *place, [message_id for message_id, _, _ in what.learn])
        words = await self._words_of(account, rows)
        blobs = {row["message_id"]: row["blob_id"].bytes for row in rows}
        lessons = [(message_id, before, now) for message_id, before, now in what.learn if message_id in words]
        taught = [(before, now, words[message_id]) for message_id, before, now in lessons]
        await asyncio.to_thread(model.learn, taught)
        sealed = account.cipher.seal(model.encode(), _PLACE)

        event = _judged(account, version + 1, [(blobs[message_id], before, now) for message_id, before, now in lessons])

        async def work(connection: Connection) -> bool:
            done = await word_rows.write(
                connection, place, version=version, learnt_modseq=what.through, sealed=sealed, speaks=model.speaks,
                lessons=[(int(now), message_id) for message_id, _, now in lessons], gone=what.gone,
            )  # fmt: skip
            if done and event:
                await self._core.outbox.insert(connection, event)
            return done

        done = await in_transaction(self._core.pool, work)
        if done:
            self._core.outbox.published_soon(event)
            for _, _, now in lessons:
                _learnt.labels(now.name.lower()).inc()
            if model.speaks != account.words:
                self._book.forget(account.account_id)
        return done

    async def _words_of(self, account: KnownAccount, rows: Sequence[Any]) -> dict[int, Sequence[int]]:
        """Return the words of messages; those that end their reader, or cannot be opened, are left out."""
        found: dict[int, Sequence[int]] = {}
        for group in groups(rows):
            for one in await self._loader.load(account, group):
                if one.mail is None:
                    continue
                mail = one.mail if len(one.mail.blob or b"") <= _MAIL_OCTETS else _header_of(one.mail)
                try:
                    (found[one.message_id],) = await _features(self._teacher, account, [mail])
                except ReaderError as error:
                    _log.warning("a message teaches nothing", account_id=account.account_id, reason=str(error))
        return found

    def _opened(self, account: KnownAccount, sealed: bytes) -> WordModel | None:
        try:
            return WordModel.decode(account.cipher.open(sealed, _PLACE))
        except (SealBrokenError, BadModelError):
            _log.error("word model does not open: it begins anew", account_id=account.account_id)
            return None

    async def weighings(self, items: Iterable[tuple[KnownAccount, Any, bytes, bytes]]) -> list[Weighing]:
        """Return messages made ready to be weighed.

        Args:
            items: The account; the accepted message (its `blob_id`, `key`, `size`); its record; its prefix.

        Raises:
            ObjectsAwayError: S3 does not answer.
        """
        listed = list(items)
        whole: Mapping[Any, bytes] = {}
        room = _WEIGHED_OCTETS
        wanted = {}
        for _, message, _, _ in listed:
            if message.size <= _MAIL_OCTETS and message.size <= room and message.blob_id not in wanted:
                wanted[message.blob_id] = message.key
                room -= message.size
        if wanted:
            whole = await self._core.bodies.read_many(self._core.pool, list(wanted.items()))
        return [
            Weighing(account, Mail(meta, prefix, whole.get(message.blob_id), []))
            for account, message, meta, prefix in listed
        ]


def _judged(account: KnownAccount, version: int, lessons: Iterable[tuple[bytes, Class, Class]]) -> list[OutboxRow]:
    """Return the event of what was called junk, and of what no longer is; what was just read says nothing of who sent it."""
    event = MessagesJudged(account_id=account.account_id, version=version)
    for blob_id, before, now in lessons:
        if now is Class.JUNK:
            event.junk.append(blob_id)
        elif before is Class.JUNK:
            event.not_junk.append(blob_id)
    if not event.junk and not event.not_junk:
        return []
    return [OutboxRow.make(account.partition, "mail.message.judged", event.SerializeToString())]


def _teaches(update: mailbox_pb2.MessageUpdate) -> bool:
    """Whether a change may say that a message is junk, or that it is not."""
    return (
        update.replace_mailboxes
        or JUNK in update.add_mailbox_ids
        or JUNK in update.remove_mailbox_ids
        or any(word.lower() in MARKS for words in (update.add_keywords, update.remove_keywords) for word in words)
    )


def _header_of(mail: Mail) -> Mail:
    return Mail(mail.meta, mail.prefix, None, [])


async def _features(reader: MailReader, account: KnownAccount, mails: list[Mail]) -> list[Sequence[int]]:
    answer = await reader.ask(Features(account.cipher.words_key, mails))
    return [struct.unpack(f">{len(octets) // 4}I", octets) for octets in answer.terms]
