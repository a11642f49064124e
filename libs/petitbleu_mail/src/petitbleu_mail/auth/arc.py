"""ARC chains verified (RFC 8617 §5.2): whether what the hops before us say of the message can be believed to be theirs."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from petitbleu_mail.auth.arc_sets import (
    MAX_SETS,
    MESSAGE,
    RESULTS,
    SEAL,
    ArcSet,
    ChainError,
    SealHash,
    instance_of,
    places,
    read_sets,
)
from petitbleu_mail.auth.canonical import BodyDigest, BodyHashes
from petitbleu_mail.auth.dkim import checked_key
from petitbleu_mail.auth.dkim_record import KeyRing, PublicKey, Result, SignatureError, key_name
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.auth.tags import parse_tags


@dataclass(frozen=True, slots=True)
class ArcVerdict:
    """What came of a message's chain.

    `result` is `none`, `pass`, `fail`, or `temperror` where a key was not to be had for now: no statement of RFC 8617's three.
    `highest` is the highest instance that any field names; `sealers` are the domains of the seals, the first first; `oldest_pass`
    is the lowest instance whose message signature and all above it still verify, 0 for none missing (RFC 8617 §5.2, step 5).
    `sealed_as_failed` says that the last sealer already called it failed: nothing is to be added then.
    """

    result: Result
    reason: str = ""
    highest: int = 0
    sealers: tuple[str, ...] = ()
    oldest_pass: int = 0
    sealed_as_failed: bool = False

    @property
    def passed(self) -> bool:
        """Whether the chain is whole."""
        return self.result is Result.PASS


class ArcCheck:
    """The chain of one message: made from its header, it says what it needs of the body, then it is verified."""

    def __init__(self, fields: Fields, hashes: BodyHashes) -> None:
        self._fields = fields
        self._sets: list[ArcSet] = []
        self._bodies: list[BodyDigest] = []
        self._failed = ""
        self._as_failed = _last_says_fail(fields)
        try:
            chain = places(fields)
            if not self._as_failed:
                self._sets = read_sets(fields, chain)
        except ChainError as error:
            self._failed = error.args[0]
        self._highest = _highest(fields)
        # Only the last message signature must verify. Those before it are looked at without their l=: else fifty sets would have the
        # body hashed fifty times.
        self._bodies = [hashes.want(one.message.forms[1]) for one in self._sets[:-1]]
        self._bodies += [hashes.want(one.message.forms[1], one.message.limit) for one in self._sets[-1:]]

    def key_names(self) -> list[str]:
        """Return the names whose TXT records will be asked for, the last sealer's first."""
        names = []
        for one in reversed(self._sets):
            names += [key_name(one.message.domain, one.message.selector), key_name(one.seal.domain, one.seal.selector)]
        return list(dict.fromkeys(names))

    async def verdict(self, keys: KeyRing) -> ArcVerdict:
        """Verify the chain, once the body is finished. Raises nothing."""
        if self._as_failed:
            # RFC 8617 §5.2, step 2: once failed, always failed, and nothing more is looked at
            return ArcVerdict(Result.FAIL, "sealed as failed", self._highest, sealed_as_failed=True)
        if self._failed:
            return ArcVerdict(Result.FAIL, self._failed, self._highest)
        if not self._sets:
            return ArcVerdict(Result.NONE)
        sealers = tuple(one.seal.domain for one in self._sets)
        try:
            await self._verify(keys)
        except SignatureError as error:
            result = Result.TEMPERROR if error.result is Result.TEMPERROR else Result.FAIL
            return ArcVerdict(result, error.reason, self._highest, sealers)
        return ArcVerdict(Result.PASS, "", self._highest, sealers, await self._oldest_pass(keys))

    async def _verify(self, keys: KeyRing) -> None:
        # RFC 8617 §5.2, step 4: of the message signatures only the last must still verify
        await _explained("message signature", checked_key(self._sets[-1].message, self._fields, self._bodies[-1], keys))
        hashed = SealHash(self._fields)
        digests = [hashed.add_set(one) for one in self._sets]
        for one, digest in zip(reversed(self._sets), reversed(digests), strict=True):  # step 6
            seal = one.seal
            key = await _explained("seal", keys.key(seal.domain, seal.selector, seal.kind))
            if not key.verifies(seal.signature, digest):
                raise SignatureError(Result.FAIL, "seal: signature did not verify")

    async def _oldest_pass(self, keys: KeyRing) -> int:
        """Return from which instance on the message is as it was, 0 for from the first on (RFC 8617 §5.2, step 5)."""
        for one, body in zip(reversed(self._sets[:-1]), reversed(self._bodies[:-1]), strict=True):
            try:
                await checked_key(one.message, self._fields, body, keys)
            except SignatureError:
                return one.instance + 1
        return 0


async def _explained(what: str, key: Awaitable[PublicKey]) -> PublicKey:
    """Await a key that verifies; say of what it was where there is none."""
    try:
        return await key
    except SignatureError as error:
        raise SignatureError(error.result, f"{what}: {error.reason}") from None


def _highest(fields: Fields) -> int:
    """Return the highest instance that can be read, 0 for none: what one more set comes after (RFC 8617 §5.1.2)."""
    highest = 0
    for name in (RESULTS, MESSAGE, SEAL):
        for index in fields.indexes(name)[: MAX_SETS + 1]:
            try:
                highest = max(highest, instance_of(fields, name, index))
            except ChainError:
                continue
    return highest


def _last_says_fail(fields: Fields) -> bool:
    """Whether the seal with the highest instance has cv=fail (RFC 8617 §5.2, step 2)."""
    highest, status = 0, ""
    for index in fields.indexes(SEAL)[: MAX_SETS + 1]:
        try:
            instance = instance_of(fields, SEAL, index)
        except ChainError:
            continue
        if instance > highest:
            # instance_of has parsed it
            highest, status = instance, parse_tags(fields.value(index)).get("cv") or ""
    return status.lower() == "fail"


async def verify_chain(message: bytes, keys: KeyRing) -> ArcVerdict:
    """Verify the chain of a message that is at hand as a whole, with CRLF line ends."""
    header, start = split_message(message)
    hashes = BodyHashes()
    check = ArcCheck(Fields(header), hashes)
    view = memoryview(message)[start:]
    hashes.take(bytes(view[at : at + 65536]) for at in range(0, len(view), 65536))
    return await check.verdict(keys)
