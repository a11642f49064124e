"""Addresses and domains that people take for one another: those that look alike have the same skeleton (in the manner of UTS 39 §4)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from petitbleu_mail.addresses import unicode_domain

# Letters that look the same, beyond what Unicode's compatibility forms say (UTS 39 has the whole table)
_LOOKS: Final = str.maketrans("аесорхуіјѕԁɡℓοαεινρτυκ01532!|", "aecopxyijsdgloaeivptukolsezil")  # noqa: RUF001
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def skeleton(domain: str) -> str:
    """Return a domain such that those that look alike are the same; A-labels are read as U-labels."""
    return _skeleton(unicode_domain(domain))


@lru_cache(maxsize=8192)
def address_skeleton(address: str) -> str:
    """Return an address in canonical form such that those that look alike are the same. It is no address any more."""
    local, _, domain = address.rpartition("@")
    return f"{_skeleton(local)}@{skeleton(domain)}"


def _skeleton(text: str) -> str:
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join([c for c in text if not unicodedata.combining(c)]).translate(_LOOKS).replace("-", "")
    for pair, letter in _PAIRS:
        text = text.replace(pair, letter)
    return text.replace("i", "l")
