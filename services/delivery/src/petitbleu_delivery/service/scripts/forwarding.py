"""What is sent on bears an ARC set of ours: what we found when it came, for whoever gets it next (RFC 8617 §5.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from petitbleu_delivery.errors import KeysUnavailableError
from petitbleu_delivery.service.domains.signing import DomainKeys
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.arc_seal import own_results
from petitbleu_mail.auth.fields import Fields, split_message

_log = get_logger(__name__)
SealForward = Callable[[bytes, str], Awaitable[bytes]]
"""Returns a message that is sent on for somebody of a domain, sealed where that can be."""
_AT: Final = "@"


def sealer(keys: DomainKeys, authserv_id: str) -> SealForward:
    """Return who seals what is sent on.

    Args:
        keys: The keys of hosted domains.
        authserv_id: Our name in Authentication-Results.
    """

    async def seal(message: bytes, owner: str) -> bytes:
        header, _ = split_message(message)
        results = (authserv_id, own_results(Fields(header), authserv_id))
        try:
            return await keys.seal(message, owner.rpartition(_AT)[2], results)
        except KeysUnavailableError:
            # it can be judged without, though less well; waiting would hold up its owner's own copy
            _log.warning("a message is sent on without a seal: the domain's keys are not known now")
            return message

    return seal
