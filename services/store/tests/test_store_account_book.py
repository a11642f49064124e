"""The book of accounts: what the question of quota noted is not read again, and is never the last word."""

from __future__ import annotations

from typing import Any

from petitbleu_kit.ids import AccountId
from petitbleu_store.domain.keys import Wrapper, WrongKeyError, new_key
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.account_keys import AccountKeys
from petitbleu_store.service.quota import over_quota


class _Kek:
    """A key-encryption key that can be replaced."""

    def __init__(self) -> None:
        self.wrapper = Wrapper(new_key())

    async def wrap(self, key: bytes, purpose: bytes) -> bytes:
        return self.wrapper.wrap(key, purpose)

    async def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        return self.wrapper.unwrap(wrapped, purpose)

    def reload(self) -> None:
        """There is no file."""

    def is_current(self, wrapped: bytes) -> bool:
        try:
            self.wrapper.unwrap(wrapped, b"")
        except WrongKeyError:
            return False
        return True


class _Rows:
    """Answers every statement with the rows of the accounts asked for, and counts the statements by name."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.asked: list[str] = []

    async def fetch(self, statement: str, _partitions: list[int], ids: list[int]) -> list[dict[str, Any]]:
        self.asked.append(statement.partition("*/")[0].partition(".")[2].strip())
        return [self.rows[one] for one in ids if one in self.rows]


async def _setting(*ids: int) -> tuple[AccountBook, _Rows, AccountKeys, _Kek]:
    kek = _Kek()
    keys = AccountKeys(kek)
    rows = _Rows()
    for one in ids:
        wrapped = await keys.generate(AccountId(one))
        rows.rows[one] = {
            "account_id": one,
            "tenant_id": 3,
            "guarded": False,
            "words": False,
            "wrapped_key": wrapped,
            "over": one == 2,
        }
    return AccountBook(keys), rows, keys, kek


async def test_what_the_question_of_quota_read_is_not_read_again() -> None:
    book, rows, _, _ = await _setting(1, 2)
    executor: Any = rows
    assert await over_quota(executor, book, [2, 1, 9]) == [2]
    found = await book.many(executor, [1, 2])
    assert {account: known.tenant_id for account, known in found.items()} == {1: 3, 2: 3}
    assert rows.asked == ["over_quota"]
    assert await book.many(executor, [9]) == {}
    assert rows.asked == ["over_quota", "accounts_load"]


async def test_an_account_that_was_noted_is_forgotten_with_the_rest_of_it() -> None:
    book, rows, _, _ = await _setting(1)
    executor: Any = rows
    await over_quota(executor, book, [1])
    book.forget(1)
    del rows.rows[1]
    assert await book.many(executor, [1]) == {}


async def test_an_erased_account_is_never_noted() -> None:
    book, rows, _, _ = await _setting(1)
    executor: Any = rows
    rows.rows[1]["wrapped_key"] = None
    await over_quota(executor, book, [1])
    del rows.rows[1]
    assert await book.many(executor, [1]) == {}
    assert rows.asked == ["over_quota", "accounts_load"]


async def test_a_key_wrapped_anew_since_it_was_noted_is_read_again() -> None:
    book, rows, keys, kek = await _setting(1)
    executor: Any = rows
    await over_quota(executor, book, [1])
    kek.wrapper = Wrapper(new_key())
    rows.rows[1]["wrapped_key"] = await keys.generate(AccountId(1))
    assert list(await book.many(executor, [1])) == [1]
    assert rows.asked == ["over_quota", "accounts_load"]
