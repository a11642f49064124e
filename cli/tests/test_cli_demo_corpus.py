"""Alice's mail: varied, whole, and the same each time."""

import email
import email.policy
from collections import Counter
from datetime import UTC, datetime, timedelta

from petitbleu_cli.demo.corpus import MESSAGES, letters

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def test_the_mail_is_varied_well_formed_and_deterministic() -> None:
    mail = list(letters(NOW))
    assert len(mail) == MESSAGES >= 300
    assert [letter.octets for letter in letters(NOW)] == [letter.octets for letter in mail]
    kinds: Counter[str] = Counter()
    ids = set()
    replies = 0
    known = set()
    for letter in mail:
        assert b"\n" not in letter.octets.replace(b"\r\n", b"")
        assert max(map(len, letter.octets.split(b"\r\n"))) <= 998
        message = email.message_from_bytes(letter.octets, policy=email.policy.default)
        assert not message.defects
        assert message["From"].addresses[0].addr_spec == letter.sender
        moment = message["Date"].datetime
        assert NOW - timedelta(days=731) <= moment <= NOW + timedelta(days=10)
        if message["In-Reply-To"]:
            replies += 1
            assert message["In-Reply-To"] in known
        known.add(message["Message-ID"])
        ids.add(message["Message-ID"])
        kinds.update(part.get_content_type() for part in message.walk())
        if message["List-Unsubscribe"]:
            kinds["newsletter"] += 1
        if b"=?utf-8?" in letter.octets:
            kinds["encoded word"] += 1
        if b"cid:" in letter.octets and b"Content-ID" in letter.octets:
            kinds["inline picture"] += 1
        subject = str(message["Subject"])
        if any(ord(character) > 0x1F000 for character in subject):
            kinds["emoji"] += 1
    assert len(ids) == MESSAGES
    assert replies > 60
    for kind in (
        "text/html", "image/png", "application/pdf", "text/csv", "text/calendar", "message/rfc822", "newsletter",
        "encoded word", "inline picture", "emoji",
    ):  # fmt: skip
        assert kinds[kind] >= 5, kind
