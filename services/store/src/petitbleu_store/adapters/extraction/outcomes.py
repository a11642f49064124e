"""What is asked of a worker, and what it answers."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final


class Kind(enum.IntEnum):
    """A format that can be read."""

    TEXT = 1
    HTML = 2
    PDF = 3
    ODF = 4
    OOXML = 5


class Outcome(enum.IntEnum):
    """What came of reading an attachment. None is worth another try, but `TIMED_OUT` on a machine that was very busy."""

    TEXT = 1
    """There is text."""
    EMPTY = 2
    """The file is in order and has no text: a scanned page."""
    ENCRYPTED = 3
    """It wants a password."""
    TOO_BIG = 4
    """The file, or what comes out of it, needs more octets or memory than allowed."""
    BROKEN = 5
    """It is not what its type says, or it ended the reader."""
    TIMED_OUT = 6
    """It needs more time than allowed."""
    UNSUPPORTED = 7
    """Nothing reads this format."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one attachment.

    Attributes:
        input_octets: Of the file.
        output_octets: Of its text as UTF-8; what is beyond is left out.
        memory_octets: Address space of the process (RLIMIT_AS). The interpreter and the PDF reader take some 60 MiB of it.
        cpu_seconds: Processor time (RLIMIT_CPU).
        wall_seconds: From asking to the answer's end, the start of a worker included.
    """

    input_octets: int = 50 << 20
    output_octets: int = 1 << 20
    memory_octets: int = 512 << 20
    cpu_seconds: int = 10
    wall_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of an attachment. `cut` tells that there was more than `Limits.output_octets`."""

    outcome: Outcome
    text: str = ""
    cut: bool = False


# Kind, octets of the file, most octets of text, memory, CPU seconds, charset
REQUEST: Final = struct.Struct(">BIIQI64s")
# Outcome, whether text was cut, octets of text
ANSWER: Final = struct.Struct(">BBI")
# The worker's exit status when its child could not answer for want of processor time, or of memory
EXIT_TIMED_OUT: Final = 10
EXIT_TOO_BIG: Final = 11

_TYPES: Final = {
    "application/pdf": Kind.PDF,
    "application/x-pdf": Kind.PDF,
    "text/html": Kind.HTML,
    "application/xhtml+xml": Kind.HTML,
}
_ENDINGS: Final = (
    dict.fromkeys(("odt", "ott", "ods", "ots", "odp", "otp", "odg", "odf"), Kind.ODF)
    | dict.fromkeys(("docx", "docm", "dotx", "xlsx", "xlsm", "xltx", "pptx", "pptm", "ppsx", "potx"), Kind.OOXML)
    | dict.fromkeys(("txt", "csv", "md", "ics", "vcf", "log", "tsv"), Kind.TEXT)
    | {"pdf": Kind.PDF, "html": Kind.HTML, "htm": Kind.HTML, "xhtml": Kind.HTML}
)  # fmt: skip
_VAGUE: Final = frozenset(
    {"application/octet-stream", "application/zip", "application/x-zip-compressed", "application/download"}
)


def kind_of(media_type: str, name: str | None) -> Kind | None:
    """Return how an attachment is read, by its type, and by its name's ending where the type says nothing; None for not at all."""
    kind = media_type.lower()
    if kind in _TYPES:
        return _TYPES[kind]
    if kind.startswith("application/vnd.oasis.opendocument."):
        return Kind.ODF
    if kind.startswith(
        ("application/vnd.openxmlformats-officedocument.", "application/vnd.ms-word.document.macroenabled")
    ):
        return Kind.OOXML
    if kind.startswith("text/"):
        return Kind.TEXT
    if kind in _VAGUE and name and "." in name:
        return _ENDINGS.get(name.rpartition(".")[2].lower())
    return None
