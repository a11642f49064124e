"""How often an account may share, without a database (RFC 8620 §5.3: what is too much is refused by itself)."""

from __future__ import annotations

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_kit.ids import AccountId
from petitbleu_store.domain.account_cipher import AccountCipher
from petitbleu_store.domain.sharing import MAX_GRANTEES
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.sharing import MAX_SHARES, Share, Sharing

OWNER = KnownAccount(AccountId(9), 1, 1, guarded=False, cipher=AccountCipher(b"k" * 32), until=0.0)


def to(*grantees: int, rights: int = 1, replace: bool = False) -> pb.MailboxUpdate:
    shares = [pb.MailboxShare(account_id=one, rights=rights) for one in grantees]
    return pb.MailboxUpdate(shares=shares, replace_shares=replace)


def test_a_mailbox_is_shared_with_so_many_and_no_more() -> None:
    sharing = Sharing(OWNER, {(1, one): Share(1) for one in range(MAX_GRANTEES)})
    assert sharing.give(1, to(500)) == pb.MAILBOX_FAULT_SHARED_WITH_TOO_MANY
    assert sharing.touched() == set()
    assert sharing.give(1, to(0, rights=0)) is None
    assert sharing.give(1, to(500)) is None
    assert sharing.give(1, to(*range(600, 600 + MAX_GRANTEES), replace=True)) is None
    assert sharing.touched() == {1}


def test_an_account_shares_so_much_and_no_more() -> None:
    boxes = MAX_SHARES // MAX_GRANTEES
    sharing = Sharing(OWNER, {(box, one): Share(1) for box in range(boxes) for one in range(MAX_GRANTEES)})
    assert sharing.give(boxes, to(1)) == pb.MAILBOX_FAULT_TOO_MANY_SHARES
    assert sharing.inherit(-1, 0) == pb.MAILBOX_FAULT_TOO_MANY_SHARES
    assert sharing.give(0, to(1, rights=3)) is None, "what is there already is changed"
    assert sharing.give(0, to(replace=True)) is None
    assert sharing.inherit(-1, 1) is None
    assert sharing.give(boxes, to(1)) == pb.MAILBOX_FAULT_TOO_MANY_SHARES
