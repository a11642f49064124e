"""ARC sets made (RFC 8617 §5.1): what we forward carries our word for what we saw when it came."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from petitbleu_mail.auth.arc import ArcVerdict
from petitbleu_mail.auth.arc_sets import MAX_SETS, SealHash, places, read_sets
from petitbleu_mail.auth.canonical import BodyDigest, relaxed_field
from petitbleu_mail.auth.dkim_record import Result
from petitbleu_mail.auth.dkim_sign import LINE, SigningKey, filled, folded, names_to_sign, signed_field
from petitbleu_mail.auth.fields import Fields

_COMMENTS = rb"(?:[ \t\r\n]|\([^()\\]*+\))*+"


def own_results(fields: Fields, authserv_id: str) -> bytes:
    """Return what our own Authentication-Results say, all of them as one, without the authserv-id: `none` if there is none.

    Only fields that we wrote may still have our name by now (RFC 8601 §5), so what carries it is believed.
    """
    ours = re.compile(
        _COMMENTS + re.escape(authserv_id.encode()) + rb"(?:[ \t\r\n]++[0-9]++)?+" + _COMMENTS + rb";", re.IGNORECASE
    )
    said = []
    for index in fields.indexes(b"authentication-results"):
        value = fields.value(index)
        found = ours.match(value)
        text = value[found.end() :].strip(b"; \t\r\n") if found else b""
        if text and text.lower() != b"none":
            said.append(text)
    return b"; ".join(said) or b"none"


def arc_set(
    fields: Fields,
    body: BodyDigest,
    chain: ArcVerdict,
    key: SigningKey,
    results: tuple[str, bytes],
    now: int,
    *,
    names: Sequence[bytes] | None = None,
    line: int = LINE,
) -> bytes:
    """Return the three fields of one more ARC set, to be put on top of the message; nothing where there must be none.

    `fields` and `chain` are of the message as it came or, changed, as it leaves: the sets in it are not touched. `body` is the
    finished relaxed digest of the body that leaves. `results` are our authserv-id and what we found (RFC 8601 §2.2); `names`
    stand in h= in place of those that DKIM would sign; `line` is how much of a b= stands on a line.

    Nothing is added to a chain that its last sealer called failed (RFC 8617 §5.1.2), to one of 50 sets, and to one that could
    not be verified for want of an answer (`temperror`): better none than a lasting "fail".
    """
    if chain.sealed_as_failed or chain.highest >= MAX_SETS or chain.result is Result.TEMPERROR:
        return b""
    instance = str(chain.highest + 1)
    status = str(chain.result) if chain.result in {Result.NONE, Result.PASS} else "fail"
    found = b"ARC-Authentication-Results: i=" + instance.encode() + b"; " + results[0].encode() + b"; " + results[1]
    signature = _message_signature(
        fields, body, key, instance, now, names_to_sign(fields) if names is None else names, line
    )
    sealed = SealHash(fields)
    if status == "pass":
        for one in read_sets(fields, places(fields)):
            sealed.add_set(one)
    # RFC 8617 §5.1.2: a seal that says fail covers its own set only
    sealed.add_field(relaxed_field(found))
    sealed.add_field(relaxed_field(signature.removesuffix(b"\r\n")))
    tags = [
        ("a", key.algorithm), ("b", ""), ("cv", status), ("d", key.domain), ("i", instance), ("s", key.selector), ("t", str(now)),
    ]  # fmt: skip
    seal = filled(b"ARC-Seal", tags, key.sign(sealed.last(relaxed_field(folded(b"ARC-Seal", tags)))))
    return seal + signature + found + b"\r\n"


def _message_signature(
    fields: Fields, body: BodyDigest, key: SigningKey, instance: str, now: int, names: Sequence[bytes], line: int
) -> bytes:
    """Return the ARC-Message-Signature with its CRLF (RFC 8617 §4.1.2): as DKIM's, with the instance as i= and without v=."""
    tags = [
        ("a", key.algorithm),
        ("b", ""),
        ("bh", base64.b64encode(body.digest()).decode()),
        ("c", "relaxed/relaxed"),
        ("d", key.domain),
        ("h", b":".join(names).decode("ascii")),
        ("i", instance),
        ("s", key.selector),
        ("t", str(now)),
    ]
    return signed_field(b"ARC-Message-Signature", tags, fields, names, key, line=line)
