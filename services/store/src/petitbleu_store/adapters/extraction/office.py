"""Text of ODF (ISO/IEC 26300) and OOXML (ISO/IEC 29500) files: XML in a zip, both of which may be a trap."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Final
from xml.parsers import expat

from petitbleu_store.adapters.extraction.outcomes import Outcome
from petitbleu_store.adapters.extraction.texts import Gathered, ReadingError

# Octets that may come out of the zip for one file, and parts that are read of it
MAX_INFLATED: Final = 96 << 20
MAX_PARTS: Final = 2000
_PIECE: Final = 64 << 10
# Beginning of an OLE2 file: a document of old, or an OOXML one under a password, which names this stream in UTF-16
_OLE2: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")

_OOXML_PARTS: Final = re.compile(
    r"(?:word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)"
    r"|xl/(?:sharedStrings|comments\d*|worksheets/sheet\d+)"
    r"|ppt/(?:slides/slide|notesSlides/notesSlide)\d+)\.xml"
)
# Local names of elements that end a word, and of those that hold text in OOXML
_ODF_BREAKS: Final = frozenset({"p", "h", "line-break", "tab", "s", "table-cell", "list-item", "annotation"})
_OOXML_BREAKS: Final = frozenset({"p", "br", "cr", "tab", "tc", "si", "c", "row", "comment"})
_OOXML_TEXTS: Final = frozenset({"t", "v", "delText"})
_DIGITS: Final = re.compile(r"\d+")


def read_odf(data: bytes, out: Gathered) -> None:
    """Gather the text of an ODF file."""
    package = _Package(data)
    if "META-INF/manifest.xml" in package.names:
        manifest = b"".join(package.pieces("META-INF/manifest.xml"))
        if b"encryption-data" in manifest or b"encrypted-key" in manifest:
            raise ReadingError(Outcome.ENCRYPTED)
    if "content.xml" not in package.names:
        raise ReadingError(Outcome.BROKEN)
    parser = _parser()
    parser.CharacterDataHandler = out.add

    def start(name: str, _attributes: dict[str, str]) -> None:
        if _local(name) in _ODF_BREAKS:
            out.add("\n")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: start(name, {})
    _run(parser, package.pieces("content.xml"))


def read_ooxml(data: bytes, out: Gathered) -> None:
    """Gather the text of an OOXML file: a text's parts, a workbook's strings and numbers, a presentation's slides and notes."""
    if data.startswith(_OLE2):
        raise ReadingError(Outcome.ENCRYPTED if _ENCRYPTED in data else Outcome.UNSUPPORTED)
    package = _Package(data)
    parts = sorted(filter(_OOXML_PARTS.fullmatch, package.names), key=_natural)
    if not parts:
        raise ReadingError(Outcome.BROKEN)
    for part in parts[:MAX_PARTS]:
        parser = _parser()
        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = _ooxml_handlers(out)
        _run(parser, package.pieces(part))


Handlers = tuple[Callable[[str, dict[str, str]], None], Callable[[str], None], Callable[[str], None]]


def _ooxml_handlers(out: Gathered) -> Handlers:
    texts = 0
    shared = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal texts, shared
        local = _local(name)
        if local == "c":
            shared = attributes.get("t") == "s"  # its <v> is a number in the table of strings
        if local in _OOXML_TEXTS and not (shared and local == "v"):
            texts += 1
        elif local in _OOXML_BREAKS:
            out.add("\n")

    def end(name: str) -> None:
        nonlocal texts
        local = _local(name)
        if local in _OOXML_TEXTS:
            texts = max(0, texts - 1)
        elif local in _OOXML_BREAKS:
            out.add("\n")

    def characters(text: str) -> None:
        if texts:
            out.add(text)

    return start, end, characters


def _natural(name: str) -> tuple[str, int]:
    found = _DIGITS.search(name)
    return (name[: found.start()], int(found[0][:9])) if found else (name, 0)


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _parser() -> expat.XMLParserType:
    """Return an XML parser that reads no file and knows no entity but XML's own five."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def refuse(*_: object) -> int:
        raise ReadingError(Outcome.BROKEN)

    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    return parser


def _run(parser: expat.XMLParserType, pieces: Iterator[bytes]) -> None:
    try:
        for piece in pieces:
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ReadingError(Outcome.BROKEN) from error


class _Package:
    """A zip of which no more than `MAX_INFLATED` octets are ever inflated."""

    def __init__(self, data: bytes) -> None:
        self._room = MAX_INFLATED
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, IndexError) as error:
            raise ReadingError(Outcome.BROKEN) from error
        self.names = frozenset(self._zip.namelist())

    def pieces(self, name: str) -> Iterator[bytes]:
        """Give a part's octets.

        Raises:
            ReadingError: it is damaged, under a password, or more than is allowed.
        """
        info = self._zip.getinfo(name)
        if info.flag_bits & 1:
            raise ReadingError(Outcome.ENCRYPTED)
        try:
            with self._zip.open(info) as part:
                while piece := part.read(_PIECE):
                    self._room -= len(piece)
                    if self._room < 0:
                        raise ReadingError(Outcome.TOO_BIG)
                    yield piece
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            ValueError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise ReadingError(Outcome.BROKEN) from error
