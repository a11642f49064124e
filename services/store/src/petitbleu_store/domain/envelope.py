"""The envelope of an accepted message as it is kept, sealed under the blob's key."""

from __future__ import annotations

import msgspec


class Recipient(msgspec.Struct, frozen=True, array_like=True):
    """One recipient: address as received, NOTIFY and ORCPT (RFC 3461 §4.1 and §4.2)."""

    address: str
    notify: str = ""
    orcpt: str = ""


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """Everything about a message that is not its body; MessagePack arrays, so fields may only be added at the end."""

    mail_from: str
    header_from: str
    from_authenticated: bool
    recipients: tuple[Recipient, ...]
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    traceparent: str = ""
    origin: int = 0
    submitter_account_id: int = 0
    submitter_tenant_id: int = 0
    verdicts: bytes = b""
    """AuthenticationVerdicts of petitbleu.store.v1, as protobuf."""
    require_tls: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """Return the envelope as MessagePack."""
    return _encoder.encode(envelope)


def decode(data: bytes) -> Envelope:
    """Return the envelope that `encode` made.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return _decoder.decode(data)
