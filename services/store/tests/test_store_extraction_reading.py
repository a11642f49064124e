"""Text out of files: each format, damaged, locked and malicious ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.store.tests.attachment_files import BOMB, docx, odt, package, pdf, pptx, xlsx

from petitbleu_store.adapters.extraction import office
from petitbleu_store.adapters.extraction.outcomes import Extracted, Kind, Outcome, kind_of
from petitbleu_store.adapters.extraction.reading import read

MOST = 1 << 16
GOOD = {
    Kind.PDF: pdf("Bonjour la cour", "Deuxième page"),
    Kind.ODF: odt("<text:h>Contrat</text:h><text:p>de <text:span>trav</text:span>ail<text:tab/>signé</text:p>"),
    Kind.OOXML: docx("Réunion", "du mardi"),
}


def text_of(kind: Kind, data: bytes, charset: str = "") -> str:
    found = read(kind, data, charset, MOST)
    assert found.outcome is Outcome.TEXT
    return found.text


def test_text_of_a_pdf() -> None:
    assert text_of(Kind.PDF, GOOD[Kind.PDF]).splitlines() == ["Bonjour la cour", "Deuxième page"]


def test_text_of_an_open_document() -> None:
    assert text_of(Kind.ODF, GOOD[Kind.ODF]).splitlines() == ["Contrat", "de travail", "signé"]


def test_text_of_a_word_file_with_its_notes_and_without_its_styles() -> None:
    assert text_of(Kind.OOXML, GOOD[Kind.OOXML]).splitlines() == ["Réunion", "du mardi", "note de bas"]


def test_text_of_a_workbook() -> None:
    assert text_of(Kind.OOXML, xlsx()).splitlines() == ["Loyer", "1234.5", "en ligne"]


def test_text_of_a_presentation_in_the_order_of_its_slides() -> None:
    slides = [f"page{number}" for number in range(1, 13)]
    assert text_of(Kind.OOXML, pptx(*slides)).splitlines() == slides


def test_text_of_text_and_html_in_their_charsets() -> None:
    assert text_of(Kind.TEXT, "élève\r\n\r\n  là".encode("cp1252"), "iso-8859-1").splitlines() == ["élève", "là"]
    html = b"<head><style>p{}</style></head><p>un &eacute;l&egrave;ve</p><script>x</script>"
    assert text_of(Kind.HTML, html, "utf-8") == "un élève"


@pytest.mark.parametrize(
    ("kind", "data", "outcome"),
    [
        (Kind.PDF, pdf(""), Outcome.EMPTY),
        (Kind.PDF, pdf("secret", encrypted=True), Outcome.ENCRYPTED),
        (Kind.PDF, b"no pdf at all", Outcome.BROKEN),
        (Kind.ODF, odt(""), Outcome.EMPTY),
        (Kind.ODF, odt("x", **{"META-INF/manifest.xml": "<manifest:encryption-data/>"}), Outcome.ENCRYPTED),
        (Kind.ODF, package({"other.xml": "<x/>"}), Outcome.BROKEN),
        (Kind.ODF, odt("<text:p>no end"), Outcome.BROKEN),
        (Kind.ODF, package({"content.xml": BOMB}), Outcome.BROKEN),
        (Kind.ODF, b"PK\x03\x04 and no more", Outcome.BROKEN),
        (Kind.OOXML, package({"word/document.xml": BOMB}), Outcome.BROKEN),
        (Kind.OOXML, package({"content.xml": "<x/>"}), Outcome.BROKEN),
        (Kind.OOXML, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), Outcome.UNSUPPORTED),
        (Kind.OOXML, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), Outcome.ENCRYPTED),
        (Kind.OOXML, docx("x").replace(b"\x14\x00\x00\x00", b"\x14\x00\x01\x00"), Outcome.ENCRYPTED),
        (Kind.TEXT, b" \r\n ", Outcome.EMPTY),
    ],
)
def test_files_without_text_say_why(kind: Kind, data: bytes, outcome: Outcome) -> None:
    assert read(kind, data, "", MOST) == Extracted(outcome)


def test_an_external_entity_is_not_read(tmp_path: object) -> None:
    content = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><x>&e;</x>'
    assert read(Kind.ODF, package({"content.xml": content}), "", MOST).outcome is Outcome.BROKEN


def test_a_zip_bomb_stops_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "MAX_INFLATED", 1 << 20)
    bomb = odt("<!--" + "x" * (2 << 20) + "-->")
    assert len(bomb) < 10_000
    assert read(Kind.ODF, bomb, "", MOST).outcome is Outcome.TOO_BIG


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.HTML, Kind.ODF, Kind.OOXML, Kind.PDF])
def test_text_is_cut_at_the_bound_between_characters(kind: Kind) -> None:
    long = "é" * 300
    data = {Kind.PDF: pdf(long), Kind.ODF: odt(f"<text:p>{long}</text:p>"), Kind.OOXML: docx(long)}.get(
        kind, long.encode()
    )
    found = read(kind, data, "utf-8", 101)
    assert (found.outcome, found.cut) == (Outcome.TEXT, True)
    assert 0 < len(found.text.encode()) <= 101
    assert set(found.text) == {"é"}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([Kind.ODF, Kind.OOXML]))
    damaged = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(damaged)))
    assert read(kind, bytes(damaged[:end]), "", MOST).outcome in set(Outcome)


@given(st.sampled_from([Kind.ODF, Kind.OOXML, Kind.TEXT, Kind.HTML]), st.binary(max_size=300), st.text(max_size=8))
def test_any_octets_are_read_or_refused(kind: Kind, data: bytes, charset: str) -> None:
    found = read(kind, data, charset, 64)
    assert len(found.text.encode()) <= 64
    assert bool(found.text) == (found.outcome is Outcome.TEXT)


@pytest.mark.parametrize(
    ("media_type", "name", "kind"),
    [
        ("application/pdf", None, Kind.PDF),
        ("APPLICATION/PDF", "x.exe", Kind.PDF),
        ("application/octet-stream", "Rapport.PDF", Kind.PDF),
        ("application/octet-stream", "rapport", None),
        ("application/octet-stream", None, None),
        ("application/zip", "lettre.odt", Kind.ODF),
        ("application/zip", "photos.zip", None),
        ("application/vnd.oasis.opendocument.spreadsheet", None, Kind.ODF),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", None, Kind.OOXML),
        ("text/html", None, Kind.HTML),
        ("text/calendar", None, Kind.TEXT),
        ("image/png", "x.pdf", None),
        ("application/msword", "vieux.doc", None),
    ],
)
def test_the_kind_of_an_attachment(media_type: str, name: str | None, kind: Kind | None) -> None:
    assert kind_of(media_type, name) is kind
