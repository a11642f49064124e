"""What an account's junk and its wanted mail are made of: a naive Bayesian model of words, combined by Fisher's method.

How often a word was in junk and in wanted mail gives how likely it is junk that has it (G. Robinson, "A Statistical Approach to the Spam
Problem", Linux Journal 107, 2003, equations for f(w) and for the indicator I), and the chi-square of the words that say most gives what
is said of the message: near 1 junk, near 0 wanted, about a half where nothing is known or both are said.

Words are 32-bit keyed hashes (`adapters.mail_reader.features`): two words of an account that share one are as rare as they are harmless.
Pure; nothing here knows a database.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

MAX_WORDS: Final = 20_000
"""Words of a model: 160 KB. Beyond, those that were seen least go."""
MAX_LESSONS: Final = 4_000
"""Lessons of a model: beyond, all counts are halved, so that what is new counts more than what is old."""
LEAST_JUNK: Final = 10
LEAST_WANTED: Final = 20
"""A model that learnt less says nothing: ten marks tell more of one sender than of junk."""

# Robinson's s and x: what a word that was never seen is worth, and how much that weighs.
_STRENGTH: Final = 0.45
_UNKNOWN: Final = 0.5
# Words nearer to a half than this say nothing.
_LEAST_DEVIATION: Final = 0.1
# So many, those that say most: a long letter must not outweigh itself by its common words.
_MOST_TELLING: Final = 150
_LARGEST: Final = 0xFFFF
_HEAD: Final = struct.Struct("<BIII")  # version, junk lessons, wanted lessons, words
_VERSION: Final = 1


class Class(IntEnum):
    """What a message was to its owner. The numbers are in rows."""

    NONE = 0
    JUNK = 1
    WANTED = 2


class BadModelError(ValueError):
    """Octets that are no model."""


class WordModel:
    """How often each word was in junk and in wanted mail.

    Attributes:
        junk: Messages learnt as junk.
        wanted: Messages learnt as wanted.
    """

    __slots__ = ("_junk_counts", "_wanted_counts", "_words", "junk", "wanted")

    def __init__(self) -> None:
        self.junk = 0
        self.wanted = 0
        # parallel, sorted by word
        self._words: array[int] = array("I")
        self._junk_counts: array[int] = array("H")
        self._wanted_counts: array[int] = array("H")

    def __len__(self) -> int:
        return len(self._words)

    @property
    def speaks(self) -> bool:
        """Whether it has learnt enough to say anything."""
        return self.junk >= LEAST_JUNK and self.wanted >= LEAST_WANTED

    def encode(self) -> bytes:
        """Return it as octets, little-endian."""
        return _HEAD.pack(_VERSION, self.junk, self.wanted, len(self._words)) + b"".join(
            [_little(one).tobytes() for one in (self._words, self._junk_counts, self._wanted_counts)]
        )

    @classmethod
    def decode(cls, octets: bytes) -> WordModel:
        """Return what `encode` made.

        Raises:
            BadModelError: it did not make them.
        """
        if len(octets) < _HEAD.size:
            raise BadModelError
        version, junk, wanted, count = _HEAD.unpack_from(octets)
        if version != _VERSION or len(octets) != _HEAD.size + 8 * count:
            raise BadModelError
        model = cls()
        model.junk, model.wanted = junk, wanted
        at = _HEAD.size
        for numbers, size in ((model._words, 4), (model._junk_counts, 2), (model._wanted_counts, 2)):
            numbers.frombytes(octets[at : at + size * count])
            at += size * count
            if sys.byteorder == "big":
                numbers.byteswap()
        return model

    def probability(self, words: Iterable[int]) -> float:
        """Return how likely a message of these words is junk, 0-1; a half when the model does not speak."""
        if not self.speaks:
            return 0.5
        telling = sorted(self._telling(set(words)), reverse=True)[:_MOST_TELLING]
        if not telling:
            return 0.5
        said = [likely for _, likely in telling]
        for_junk = 1.0 - _chi_square_tail(-2.0 * math.fsum([math.log1p(-one) for one in said]), len(said))
        for_wanted = 1.0 - _chi_square_tail(-2.0 * math.fsum([math.log(one) for one in said]), len(said))
        return (1.0 + for_junk - for_wanted) / 2.0

    def _telling(self, words: set[int]) -> Iterable[tuple[float, float]]:
        """Give how far from a half, and how likely junk, for each word that says something."""
        known, last = self._words, len(self._words)
        for word in words:
            at = bisect_left(known, word)
            if at == last or known[at] != word:
                continue
            junk, wanted = self._junk_counts[at], self._wanted_counts[at]
            seen = junk + wanted
            in_junk = min(junk / self.junk, 1.0)
            share = in_junk / (in_junk + min(wanted / self.wanted, 1.0))
            likely = (_STRENGTH * _UNKNOWN + seen * share) / (_STRENGTH + seen)
            if abs(likely - 0.5) >= _LEAST_DEVIATION:
                yield abs(likely - 0.5), likely

    def learn(self, lessons: Iterable[tuple[Class, Class, Sequence[int]]]) -> None:
        """Learn messages.

        Args:
            lessons: What each was to its owner before and is now, and its words; what it was is unlearnt.
        """
        counts = {
            word: [junk, wanted]
            for word, junk, wanted in zip(self._words, self._junk_counts, self._wanted_counts, strict=True)
        }
        for before, now, words in lessons:
            if before == now:
                continue
            for kind, step in ((before, -1), (now, 1)):
                self._count(counts, kind, step, set(words))
        while self.junk + self.wanted > MAX_LESSONS:
            self.junk, self.wanted = self.junk // 2, self.wanted // 2
            counts = {word: [junk // 2, wanted // 2] for word, (junk, wanted) in counts.items()}
        kept = sorted((word, junk, wanted) for word, (junk, wanted) in counts.items() if junk or wanted)
        if len(kept) > MAX_WORDS:
            # of words that were seen equally often it does not matter which stay: their numbers are those of a hash
            kept.sort(key=lambda one: one[1] + one[2], reverse=True)
            kept = sorted(kept[:MAX_WORDS])
        self._words = array("I", [one[0] for one in kept])
        self._junk_counts = array("H", [one[1] for one in kept])
        self._wanted_counts = array("H", [one[2] for one in kept])

    def _count(self, counts: dict[int, list[int]], kind: Class, step: int, words: set[int]) -> None:
        if kind is Class.NONE:
            return
        if kind is Class.JUNK:
            self.junk = max(0, self.junk + step)
        else:
            self.wanted = max(0, self.wanted + step)
        place = 0 if kind is Class.JUNK else 1
        for word in words:
            count = counts.setdefault(word, [0, 0])
            # what was dropped or halved meanwhile cannot be unlearnt below nothing
            count[place] = min(max(0, count[place] + step), _LARGEST)


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return numbers


def _chi_square_tail(value: float, pairs: int) -> float:
    """Return the probability that a chi-square of twice `pairs` degrees of freedom is at least `value`.

    For an even number of degrees it is a finite sum: exp(-m) times the sum of m^i/i! for i < pairs, with m = value / 2 (Robinson 2003), taken here
    with logarithms, as exp(-m) is nothing for what a hundred words say.
    """
    half = value / 2.0
    if half <= 0.0:
        return 1.0
    log_half = math.log(half)
    logs = [-half + index * log_half - math.lgamma(index + 1) for index in range(pairs)]
    return min(1.0, math.fsum([math.exp(one) for one in logs]))
