"""store and accounts, as the rules of mailboxes need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.store.v1 import accept_pb2, filing_pb2, filing_pb2_grpc
from petitbleu_delivery.adapters.accepted_mail import AcceptedMail
from petitbleu_delivery.adapters.calls import ask
from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_kit.rpc import Peer as Channel


class Letter(NamedTuple):
    """A mail that a rule sends.

    `key` (32 octets) makes a repeat a no-op. `notice` says that it is one of ours about a message, not a person's. `mail_from` is
    empty for the null path. `header_from` and what follows are what is known of the author of a message that is sent on.
    """

    key: bytes
    mail_from: str
    to: str
    trace: bytes
    body: bytes
    account_id: int
    tenant_id: int
    notice: bool = False
    header_from: str = ""
    authenticated: bool = False
    junk: bool = False
    dmarc_failed: bool = False


class Person(NamedTuple):
    """What accounts tells of an account that is not being erased, as it is now."""

    address: str
    name: str
    guarded: bool


class RulePeers:
    """Calls store and accounts.

    Args:
        store: The channel to store.
        accounts: The channel to accounts.
        call_seconds: Deadline of a look-up.
        commit_seconds: Deadline of what commits, or reads a body.
    """

    def __init__(self, store: Channel, accounts: Channel, call_seconds: float, commit_seconds: float) -> None:
        self._store = store
        self._accounts = accounts
        self._mail = AcceptedMail(store, commit_seconds)
        self._filing = filing_pb2_grpc.FilingServiceStub(store.channel)
        self._directory = accounts_pb2_grpc.DirectoryServiceStub(accounts.channel)
        self._call_seconds = call_seconds

    async def read(self, accepted_id: bytes, octets: int) -> bytes | None:
        """Return the beginning of a message's blob, None when it cannot be read (any more).

        Raises:
            PeerUnavailableError: store does not answer.
        """
        try:
            found = (await self._mail.read([accepted_id], octets)).get(accepted_id)
        except PeerRefusedError as error:
            raise PeerUnavailableError(Peer.STORE, error.code) from None
        return found.body if found is not None and found.whole else None

    async def weighed(self, items: Sequence[tuple[bytes, int]]) -> list[bool]:
        """Return of messages (accepted id, account) whether they are junk by the words of the account's junk, at most 1,000.

        Raises:
            PeerUnavailableError: store does not answer.
        """
        request = filing_pb2.WeighWordsRequest(
            items=[
                filing_pb2.WeighItem(accepted_id=accepted_id, account_id=account_id)
                for accepted_id, account_id in items
            ]
        )
        answer = await ask(self._store, Peer.STORE, self._filing.WeighWords, request, self._call_seconds)
        return list(answer.junk)

    async def folders(self, account_id: int) -> list[tuple[str, str, int]]:
        """Return path, role and number of an account's mailboxes."""
        request = filing_pb2.ListFoldersRequest(account_ids=[account_id])
        answer = await ask(self._store, Peer.STORE, self._filing.ListFolders, request, self._call_seconds)
        return [(one.path, one.role, one.mailbox_id) for found in answer.accounts for one in found.folders]

    async def people(self, account_ids: Sequence[int]) -> dict[int, Person]:
        """Return what is known of accounts, at most 1,000; those that are not there, or are being erased, are left out."""
        request = accounts_pb2.GetAccountsRequest(account_ids=account_ids)
        answer = await ask(self._accounts, Peer.ACCOUNTS, self._directory.GetAccounts, request, self._call_seconds)
        return {
            one.account_id: Person(one.address, one.display_name, one.guarded)
            for one in answer.accounts
            if one.state != accounts_pb2.ACCOUNT_STATE_CLOSING
        }

    async def accept(self, letters: Sequence[Letter]) -> bool:
        """Hand mails to store; say whether all are durable."""
        items = []
        for letter in letters:
            eight_bit = not (letter.body.isascii() and letter.trace.isascii())
            header = letter.body.partition(b"\r\n\r\n")[0]
            utf8 = not (header.isascii() and letter.to.isascii() and letter.mail_from.isascii())
            item = accept_pb2.AcceptItem(
                idempotency_key=letter.key, mail_from=letter.mail_from, trace=letter.trace, body=letter.body,
                header_from=letter.header_from,
                origin=accept_pb2.ORIGIN_NOTICE if letter.notice else accept_pb2.ORIGIN_RULE,
                submitter_account_id=letter.account_id, submitter_tenant_id=letter.tenant_id,
            )  # fmt: skip
            item.recipients.add(address=letter.to, tenant_id=letter.tenant_id)
            item.parameters.eight_bit = eight_bit
            item.parameters.smtputf8 = utf8
            item.verdicts.from_authenticated = letter.authenticated
            if letter.junk:
                item.verdicts.treatment = accept_pb2.TREATMENT_JUNK
            if letter.dmarc_failed:
                item.verdicts.dmarc = accept_pb2.VERDICT_FAIL
            items.append(item)
        return all(await self._mail.accept(items))
