"""Octets of a file to its text. It runs in the worker: everything here may fail in any way without harm to others."""

from __future__ import annotations

from typing import Any, Final

import pypdfium2

from petitbleu_mail.charsets import decode
from petitbleu_mail.preview import html_to_text
from petitbleu_store.adapters.extraction.office import read_odf, read_ooxml
from petitbleu_store.adapters.extraction.outcomes import Extracted, Kind, Outcome
from petitbleu_store.adapters.extraction.texts import Full, Gathered, ReadingError

# Pages of a PDF that are looked at
MAX_PAGES: Final = 3000
# PDFium's own numbers of errors (fpdfview.h)
_PASSWORD, _SECURITY = 4, 5


def read(kind: Kind, data: bytes, charset: str, most: int) -> Extracted:
    """Return the text of a file, at most `most` octets of UTF-8.

    Raises:
        MemoryError: it needs more than there is.
    """
    out = Gathered(most)
    cut = False
    try:
        if kind is Kind.PDF:
            _read_pdf(data, out)
        elif kind is Kind.ODF:
            read_odf(data, out)
        elif kind is Kind.OOXML:
            read_ooxml(data, out)
        elif kind is Kind.HTML:
            out.add(html_to_text(decode(data, charset or None)[0]))
        else:
            out.add(decode(data, charset or None)[0])
    except Full:
        cut = True
    except ReadingError as error:
        return Extracted(error.outcome)
    text = out.text().encode("utf-8", "replace")
    if len(text) > most:
        text, cut = text[:most], True
    shown = text.decode("utf-8", "ignore")
    return Extracted(Outcome.TEXT, shown, cut) if shown else Extracted(Outcome.EMPTY)


def _read_pdf(data: bytes, out: Gathered) -> None:
    try:
        document: Any = pypdfium2.PdfDocument(data)  # type: ignore[no-untyped-call]
    except pypdfium2.PdfiumError as error:
        locked = error.err_code in {_PASSWORD, _SECURITY}
        raise ReadingError(Outcome.ENCRYPTED if locked else Outcome.BROKEN) from error
    for number in range(min(len(document), MAX_PAGES)):
        try:
            page = document[number]
            texts = page.get_textpage()
        except pypdfium2.PdfiumError:
            continue  # a page that is damaged; others may not be
        out.add(texts.get_text_range(errors="replace"))
        out.add("\n")
        texts.close()
        page.close()
