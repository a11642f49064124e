"""Search (RFC 8621 §4.4.1): what the index finds is what a plain scan of the decrypted mail finds, and it mends itself."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

from tests.integration.mailing import file_new, known, new_account, parts_of, update
from tests.integration.sharing import READ, file_in, give, seen, seen_ids

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.adapters import search_rows
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, INBOX

Filter = mailbox_pb2.MessageFilter
AND, OR, NOT = mailbox_pb2.FILTER_OPERATOR_AND, mailbox_pb2.FILTER_OPERATOR_OR, mailbox_pb2.FILTER_OPERATOR_NOT
TEXT, FROM, SUBJECT, BODY, HEADER = (
    mailbox_pb2.TEXT_SCOPE_TEXT, mailbox_pb2.TEXT_SCOPE_FROM, mailbox_pb2.TEXT_SCOPE_SUBJECT,
    mailbox_pb2.TEXT_SCOPE_BODY, mailbox_pb2.TEXT_SCOPE_HEADER,
)  # fmt: skip


def letter(subject: str, body: str, **headers: str) -> bytes:
    mail = EmailMessage()
    mail["From"] = headers.pop("sender", "Anna Lefèvre <anna@lefevre.test>")
    mail["To"] = "zoe@demo.test"
    mail["Subject"] = subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(body)
    return mail.as_bytes().replace(b"\n", b"\r\n")


def text(wanted: str, scope: Any = TEXT, name: str = "") -> Filter:
    return Filter(texts=[mailbox_pb2.TextCondition(scope=scope, text=wanted, header_name=name)])


async def found(store: Store, account_id: int, given: Filter, **more: Any) -> list[int]:
    request = mailbox_pb2.QueryMessagesRequest(account_id=account_id, filter=given, **{"limit": 1000, **more})
    answer = await parts_of(store).cases.queries.query(await known(store, account_id), request)
    assert not answer.refusal
    return list(answer.message_ids)


async def test_words_phrases_fields_and_operators(store: Store) -> None:
    account_id = await new_account(store)
    first, second, third = await file_new(
        store, account_id,
        letter("Réunion de chantier", "Les travaux commencent lundi matin.\nApportez les plans.", X_Ticket="Urgent 42"),
        letter("Lunch on Monday", "The workers start on monday; bring the plans."),
        letter("Rien", "matin lundi", sender="Karl Monday <k@example.org>"),
    )  # fmt: skip
    for given, expected in (
        (text("chantiers"), {first}),
        (text("reunion"), {first}),
        (text("lundi"), {first, third}),
        (text('"lundi matin"'), {first}),
        (text("lundi matin"), {first, third}),
        (text("mond"), {second, third}),
        (text("mond", BODY), set()),
        (text("monday", FROM), {third}),
        (text("plans travaux"), {first}),
        (text("", HEADER, "X-Ticket"), {first}),
        (text("urgent 4", HEADER, "x-ticket"), {first}),
        (text("urgent 5", HEADER, "x-ticket"), set()),
        (Filter(operator=NOT, conditions=[text('"lundi matin"')]), {second, third}),
        (Filter(operator=OR, conditions=[text('"matin lundi"'), text("lunch", SUBJECT)]), {second, third}),
        (Filter(operator=AND, conditions=[text("lundi"), Filter(operator=NOT, conditions=[text("plans")])]), {third}),
        (text("!?"), set()),
    ):
        assert set(await found(store, account_id, given)) == expected, given
        assert set(await found(store, account_id, given, calculate_total=True)) == expected, given
    await update(store, account_id, mailbox_pb2.MessageUpdate(message_id=first, destroy=True))
    assert await found(store, account_id, text("lundi")) == [third]
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM search_entry") == 2


async def test_snippets_show_what_is_found(store: Store) -> None:
    account_id = await new_account(store)
    (one,) = await file_new(store, account_id, letter("Réunion de chantier", "Les travaux commencent lundi."))
    request = mailbox_pb2.GetSnippetsRequest(
        account_id=account_id, filter=text("chantier lundi"), message_ids=[one, 99]
    )
    answer = await parts_of(store).cases.snippets.get(await known(store, account_id), request)
    (snippet,) = answer.snippets
    assert snippet.subject == "Réunion de <mark>chantier</mark>"
    assert snippet.preview == "Les travaux commencent <mark>lundi</mark>."


async def test_who_is_shown_a_mailbox_finds_in_it_and_nowhere_else(store: Store) -> None:
    owner, grantee = await new_account(store), await new_account(store)
    await give(store, owner, ARCHIVE, (grantee, READ))
    (private,) = await file_in(store, owner, [INBOX], letter("Réunion secrète", "marmotte lundi"))
    (shown,) = await file_in(store, owner, [ARCHIVE], letter("Réunion", "marmotte mardi"))
    assert await found(store, owner, text("marmotte")) == [shown, private]
    assert await seen_ids(store, owner, grantee, filter=text("marmotte")) == [shown]
    everything_else = Filter(operator=NOT, conditions=[text("mardi")])
    assert await seen_ids(store, owner, grantee, filter=everything_else) == []
    request = mailbox_pb2.GetSnippetsRequest(account_id=owner, filter=text("marmotte"), message_ids=[private, shown])
    answer = await parts_of(store).cases.snippets.get(await seen(store, owner, grantee), request)
    assert [(one.message_id, one.preview) for one in answer.snippets] == [(shown, "<mark>marmotte</mark> mardi")]


async def test_nobody_else_s_words_are_found(store: Store) -> None:
    one, other = await new_account(store), await new_account(store)
    (mine,) = await file_new(store, one, letter("Rien", "marmotte"))
    (theirs,) = await file_new(store, other, letter("Rien", "marmotte"))
    assert await found(store, one, text("marmotte")) == [mine]
    assert await found(store, other, text("marmotte")) == [theirs]
    terms = await store.core.cold.fetch("/* cold:test */ SELECT terms FROM search_entry")
    assert len(terms) == 2
    assert not set(terms[0]["terms"]) & set(terms[1]["terms"]), "the same words are different terms elsewhere"


class _Explained:
    """Asks how a statement would be answered, in place of its answer."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.plan = ""

    async def fetchrow(self, statement: str, *values: Any) -> None:
        """Remember the plan of a statement."""
        rows = await self.connection.fetch("/* cold:test */ EXPLAIN " + statement.partition("*/")[2], *values)
        self.plan = "\n".join(row[0] for row in rows)


async def test_a_search_goes_by_its_terms_however_many_accounts_there_are(store: Store) -> None:
    """The plan, not a clock: neither the table nor all of an account is read, for one account and among many."""
    account = await known(store, await new_account(store))
    for first, last, each in ((1, 1, 2000), (2, 101, 100)):
        async with store.core.cold.acquire() as connection, connection.transaction():
            await connection.execute(
                "/* cold:test */ INSERT INTO search_entry (partition, state, account_id, message_id, received_ms, terms) "
                "SELECT $1, 0, $2 + a, n, n, ARRAY(SELECT hashint8extended(a * 100 + t % 100, n) FROM generate_series(n, n + 9) t) "
                "FROM generate_series($3::bigint, $4::bigint) a, generate_series(1, $5::bigint) n",
                account.partition, account.account_id, first - 1, last - 1, each,
            )  # fmt: skip
            await connection.execute("/* cold:test */ ANALYZE search_entry")
            await search_rows.prepare(connection)
            explained: Any = _Explained(connection)
            await search_rows.find(explained, account.partition, account.account_id, [[1, 2], [3]])
            assert "Index Scan on search_entry_terms" in explained.plan
            assert "search_entry_pkey" not in explained.plan
            assert "Seq Scan" not in explained.plan
