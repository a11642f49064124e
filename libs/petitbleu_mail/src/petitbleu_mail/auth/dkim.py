"""DKIM signatures verified (RFC 6376, RFC 8301, RFC 8463). Pure: keys come through the `Resolver` port, the body in pieces.

```python
hashes = BodyHashes()
check = DkimCheck(Fields(header), hashes)
for piece in body:
    hashes.update(piece)
hashes.finish()
verdicts = await check.verdicts(KeyRing(resolver), now)
```
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum

from petitbleu_mail.auth.canonical import BodyDigest, BodyHashes
from petitbleu_mail.auth.dkim_record import KeyRing, PublicKey, Result, SignatureError, key_name
from petitbleu_mail.auth.dkim_signature import Signature, read_dkim
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.auth.tags import TagError, parse_tags

# Signatures of one message that are verified, the topmost first (RFC 6376 §6.1: a verifier may limit them). Each costs a look-up.
MAX_SIGNATURES = 8
# Signatures beyond those that still get a verdict, so that a header full of them makes no long report.
MAX_VERDICTS = 20
# How far a signer's clock may be ahead, seconds.
CLOCK_SKEW = 300

# Fields that change what a reader sees: one more of them, added by another, should break a signature (RFC 6376 §5.4, §8.15).
_SHOWN = (b"from", b"to", b"subject")


class Hint(StrEnum):
    """What makes a signature easier to abuse, or tells of a replay; for those who judge, not a verdict."""

    BODY_BEYOND_LIMIT = "the body goes on behind what l= covers"
    EXPIRED = "x= is gone"
    FROM_THE_FUTURE = "t= is still to come"
    FIELDS_CAN_BE_ADDED = "From, To or Subject are not oversigned"
    TESTING = "the key is being tried out"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one DKIM-Signature.

    `domain`, `selector`, `identity`, `algorithm` are as far as they could be read (header.d, .s, .i, .a of RFC 8601 §2.7.1);
    `b` is the beginning of the signature, which tells several of one domain apart (RFC 6008 §4); `bits` is 0 without a key.
    """

    result: Result
    reason: str = ""
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    b: str = ""
    bits: int = 0
    made: int | None = None
    hints: frozenset[Hint] = frozenset()

    @property
    def passed(self) -> bool:
        """Whether the domain answers for this message."""
        return self.result is Result.PASS


async def checked_key(signature: Signature, fields: Fields, body: BodyDigest, keys: KeyRing) -> PublicKey:
    """Verify one signature over header and finished body, and return the key that made it. Raises `SignatureError`."""
    if signature.limit is not None and signature.limit > body.size:
        raise SignatureError(Result.FAIL, "l= is more than the body")  # RFC 6376 §3.5, l=
    if not hmac.compare_digest(body.digest(), signature.body_hash):
        raise SignatureError(Result.FAIL, "body hash did not verify")  # RFC 6376 §6.1.3: before the key is asked for
    key = await keys.key(signature.domain, signature.selector, signature.kind)
    if key.strict and signature.identity is not None and signature.identity.rpartition("@")[2] != signature.domain:
        raise SignatureError(Result.PERMERROR, "i= is below the domain of a strict key")  # RFC 6376 §3.6.1, t=s
    if not key.verifies(signature.signature, signature.digest(fields)):
        raise SignatureError(Result.FAIL, "signature did not verify")
    return key


class DkimCheck:
    """The DKIM signatures of one message: made from its header, they say what they need of its body, then they are verified."""

    def __init__(self, fields: Fields, hashes: BodyHashes) -> None:
        self._fields = fields
        self._read: list[tuple[int, Signature | SignatureError]] = []
        self._bodies: dict[int, BodyDigest] = {}
        places = fields.indexes(b"dkim-signature")
        for place in places[:MAX_SIGNATURES]:
            try:
                signature = read_dkim(fields, place)
            except SignatureError as error:
                self._read.append((place, error))
                continue
            self._read.append((place, signature))
            self._bodies[place] = hashes.want(signature.forms[1], signature.limit)
        surplus = SignatureError(Result.POLICY, "too many signatures")
        self._read += [(place, surplus) for place in places[MAX_SIGNATURES:MAX_VERDICTS]]

    def signatures(self) -> list[Signature]:
        """Return those that will be verified."""
        return [one for _, one in self._read if isinstance(one, Signature)]

    def key_names(self) -> list[str]:
        """Return the names whose TXT records will be asked for, so that they can be fetched while the body still comes."""
        return list(dict.fromkeys(key_name(one.domain, one.selector) for one in self.signatures()))

    async def verdicts(self, keys: KeyRing, now: int) -> list[Verdict]:
        """Verify all, once the body is finished; the topmost first, none for a message without signatures.

        `now` is in seconds since 1970. Raises nothing.
        """
        return [
            await self._verdict(place, one, keys, now)
            if isinstance(one, Signature)
            else _claimed(self._fields.value(place), one)
            for place, one in self._read
        ]

    async def _verdict(self, place: int, signature: Signature, keys: KeyRing, now: int) -> Verdict:
        body = self._bodies[place]
        hints = set()
        if signature.limit is not None and signature.limit < body.size:
            hints.add(Hint.BODY_BEYOND_LIMIT)
        if signature.made is not None and signature.made > now + CLOCK_SKEW:
            hints.add(Hint.FROM_THE_FUTURE)
        if any(signature.signed.count(name) <= len(self._fields.indexes(name)) for name in _SHOWN):
            hints.add(Hint.FIELDS_CAN_BE_ADDED)
        result, reason, bits = Result.PASS, "", 0
        try:
            key = await checked_key(signature, self._fields, body, keys)
            bits = key.bits
            if key.testing:
                hints.add(Hint.TESTING)
        except SignatureError as error:
            result, reason = error.result, error.reason
        if signature.expires is not None and signature.expires < now:
            hints.add(Hint.EXPIRED)
            if result is Result.PASS:
                result, reason = Result.POLICY, "expired"  # RFC 6376 §3.5, x=
        return Verdict(
            result,
            reason,
            domain=signature.domain,
            selector=signature.selector,
            identity=signature.identity or "",
            algorithm=signature.tags.need("a"),
            b="".join(signature.tags.need("b").split())[:8],
            bits=bits,
            made=signature.made,
            hints=frozenset(hints),
        )


def _claimed(source: bytes, error: SignatureError) -> Verdict:
    """Return the verdict of a signature that is not verified at all, with what it says of itself if that can be read."""
    try:
        tags = parse_tags(source)
    except TagError:
        return Verdict(error.result, error.reason)
    domain, selector, identity, algorithm = [(tags.get(name) or "")[:255] for name in "dsia"]
    b = "".join((tags.get("b") or "").split())[:8]
    return Verdict(
        error.result, error.reason, domain=domain, selector=selector, identity=identity, algorithm=algorithm, b=b
    )


async def verify_message(message: bytes, keys: KeyRing, now: int) -> list[Verdict]:
    """Verify all DKIM signatures of a message that is at hand as a whole, with CRLF line ends."""
    header, start = split_message(message)
    hashes = BodyHashes()
    check = DkimCheck(Fields(header), hashes)
    view = memoryview(message)[start:]
    hashes.take(bytes(view[at : at + 65536]) for at in range(0, len(view), 65536))
    return await check.verdicts(keys, now)
