"""Files to attach, small and made here: PDF, ODF, OOXML, and such as are meant to harm."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_ODF = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:text>{}</office:text></office:body>'
    "</office:document-content>"
)
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>'
)


def package(parts: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return out.getvalue()


def odt(body: str, **others: str) -> bytes:
    return package({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": _ODF.format(body), **others})


def docx(*paragraphs: str) -> bytes:
    body = "".join([f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs])
    return package(
        {
            "word/document.xml": f"<w:document {_W}><w:body>{body}<w:sectPr>12</w:sectPr></w:body></w:document>",
            "word/footnotes.xml": f"<w:footnotes {_W}><w:p><w:r><w:t>note de bas</w:t></w:r></w:p></w:footnotes>",
            "word/styles.xml": f"<w:styles {_W}><w:p><w:t>invisible</w:t></w:p></w:styles>",
        }
    )


def xlsx() -> bytes:
    rows = '<row><c t="s"><v>0</v></c><c><v>1234.5</v></c><c t="inlineStr"><is><t>en ligne</t></is></c></row>'
    return package(
        {
            "xl/sharedStrings.xml": f"<sst {_S}><si><t>Loyer</t></si></sst>",
            "xl/worksheets/sheet1.xml": f"<worksheet {_S}><sheetData>{rows}</sheetData></worksheet>",
        }
    )


def pptx(*slides: str) -> bytes:
    return package(
        {
            f"ppt/slides/slide{number}.xml": f"<p:sld xmlns:p='p' {_A}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>"
            for number, text in enumerate(slides, 1)
        }
    )


def pdf(*pages: str, encrypted: bool = False) -> bytes:
    """Make a PDF whose pages have a line of text each."""
    count = len(pages)
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    kids = " ".join([f"{4 + 2 * number} 0 R" for number in range(count)])
    objects.append(f"<</Type/Pages/Kids[{kids}]/Count {count}>>".encode())
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    for number, text in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode("cp1252")
        page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>"
        objects.append(f"{page}/Contents {5 + 2 * number} 0 R>>".encode())
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(shown), shown))
    out = bytearray(b"%PDF-1.4\n")
    places: list[int] = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join([b"%010d 00000 n \n" % place for place in places])
    hashes = b"<" + b"41" * 32 + b">"
    lock = b"/Encrypt<</Filter/Standard/V 2/R 3/Length 128/P -4/O%s/U%s>>/ID[<00><00>]" % (hashes, hashes)
    out += b"trailer<</Size %d/Root 1 0 R%s>>\n" % (len(objects) + 1, lock if encrypted else b"")
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(out)
