"""How much may wait for one child. Beyond that mail is counted and dropped, and its sender notices nothing."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

MAX_HELD: Final = 200
MAX_OCTETS: Final = 50 << 20
MAX_OF_SENDER: Final = 20
EXPIRY_DAYS: Final = 30


class SenderAction(IntEnum):
    """What a guardian does about what waits from a sender; the number is the contract's."""

    DELIVER_AND_APPROVE = 1
    DELIVER_ONCE = 2
    REFUSE = 3
    BLOCK = 4


DELIVERS: Final = frozenset({SenderAction.DELIVER_AND_APPROVE, SenderAction.DELIVER_ONCE})


class Load(msgspec.Struct):
    """What waits for a child: messages and octets, of these what is not announced, messages by sender, and who is shown."""

    messages: int = 0
    octets: int = 0
    unannounced: int = 0
    unannounced_octets: int = 0
    of_sender: dict[bytes, int] = {}
    shown: set[tuple[bytes, bool]] = set()

    def take(self, sender: bytes, size: int, *, announced: bool) -> bool:
        """Count one more message, if there is room for it; whether there is.

        What nobody is told of may fill half: junk must not crowd out what a guardian would decide on.
        """
        if self.of_sender.get(sender, 0) >= MAX_OF_SENDER:
            return False
        if self.messages >= MAX_HELD or self.octets + size > MAX_OCTETS:
            return False
        if not announced:
            if self.unannounced >= MAX_HELD // 2 or self.unannounced_octets + size > MAX_OCTETS // 2:
                return False
            self.unannounced += 1
            self.unannounced_octets += size
        self.messages += 1
        self.octets += size
        self.of_sender[sender] = self.of_sender.get(sender, 0) + 1
        return True
