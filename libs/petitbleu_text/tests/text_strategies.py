"""Texts as people write them: French and English words, bent and mixed with signs, and any Unicode."""

from __future__ import annotations

from hypothesis import strategies as st

from petitbleu_text.query import QueryTooLongError, parse
from petitbleu_text.searchable import Field, Searchable

VOCABULARY = str.split(
    "école écoles élève élèves chanter chantées chantaient nation nations nationale mangé manger cœur coeurs été l'été "
    "d'équipe qu'il aujourd'hui Jean-Pierre jean.dupont@example.org Müller STRASSE straße facture factures facturation "
    "bus buses business running runs ran Tuesday's don't invoice invoices 2024-11-22 12,50 N°42 e\u0301te\u0301 naïve "
    "Œuvre snake_case 東京タワー こんにちは สวัสดี हिन्दी العربية 🎉 ½ ﬁn l\u2019école réunion réunions de la les the a"
)
SIGNS = st.sampled_from(
    [" ", " ", " ", "  ", "\n", ", ", ". ", "-", "'", "\u2019", '"', "@", "/", "(", "\u00a0", "_", "\u00ad", ""]
)
WORDS = st.one_of(
    st.sampled_from(VOCABULARY),
    st.sampled_from(VOCABULARY).map(str.upper),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    st.text("abcdefghijéèêàçœ", min_size=1, max_size=20),
)
TEXTS = st.lists(st.tuples(WORDS, SIGNS), max_size=15).map(
    lambda pieces: "".join([word + sign for word, sign in pieces])
)
MESSAGES = st.dictionaries(st.sampled_from(list(Field)), st.lists(TEXTS, min_size=1, max_size=3)).map(Searchable)
# What people type: a piece of a word, words, phrases, quotes that fail
_TYPED = st.one_of(
    WORDS, WORDS.map(lambda word: word[:4]), TEXTS.map(lambda text: f'"{text}"'), TEXTS.map(lambda text: f"'{text}'")
)


def _is_query(text: str) -> bool:
    """Whether it has no more words than a query may have: a few of what is drawn have."""
    try:
        parse(text)
    except QueryTooLongError:
        return False
    return True


QUERIES = st.lists(_TYPED, max_size=4).map(" ".join).filter(_is_query)
