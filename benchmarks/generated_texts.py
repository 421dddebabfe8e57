"""Tables of texts for portfolios, made of invented words; the same at every call.

What separates the classes differs: the words that occur, their number, their order, a word beside another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

ROWS = 600
_SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "mi", "no", "pe", "ra", "so", "tu", "va", "wi", "zo")

Texts = tuple[list[str], np.ndarray]


def make_table(name: str) -> pd.DataFrame:
    """Return a set's texts as the column `message`, with the target `y`."""
    texts, y = TEXTS[name]()
    return pd.DataFrame({"message": texts, "y": y})


def _list_words(count: int) -> list[str]:
    """Return invented words of two and three syllables, each once."""
    two = [first + second for first in _SYLLABLES for second in _SYLLABLES]
    return [*two, *(word + last for last in _SYLLABLES for word in two)][:count]


def _draw_text(random: np.random.Generator, words: Sequence[str], length: int) -> list[str]:
    """Return words drawn by Zipf's law: the second is half as frequent as the first."""
    chances = 1 / np.arange(1, len(words) + 1)
    return list(random.choice(words, length, p=chances / chances.sum()))


def _make_topics() -> Texts:
    """Return texts of one of five topics, each with 60 words of its own, between words that all have."""
    random, words = np.random.default_rng(11), _list_words(500)
    topics, texts = random.integers(0, 5, ROWS), []
    for topic in topics:
        own = words[200 + 60 * topic : 260 + 60 * topic]
        text = [*_draw_text(random, words[:200], 22), *_draw_text(random, own, 3), *random.choice(words[200:], 3)]
        texts.append(" ".join(random.permutation(text)))
    return texts, _name_classes(topics)


def _make_opinions() -> Texts:
    """Return texts with good and bad words, a third of which the word before turns into their opposite."""
    random, words = np.random.default_rng(12), _list_words(260)
    good, bad, turn = words[:30], words[30:60], words[60]
    signs, texts = random.integers(0, 2, ROWS), []
    for sign in signs:
        text = _draw_text(random, words[61:], 15)
        for place in random.choice(12, 3, replace=False):
            turned, right = random.random() < 1 / 3, random.random() < 0.9
            means_good = bool(sign) == right
            text[place] = str(random.choice(good if means_good != turned else bad))
            text[place] = f"{turn} {text[place]}" if turned else text[place]
        texts.append(" ".join(text))
    return texts, _name_classes(signs)


def _make_orders() -> Texts:
    """Return texts with two kinds of words that every text has; the class is which of them comes first."""
    random, words = np.random.default_rng(13), _list_words(220)
    kinds, texts = random.integers(0, 2, ROWS), []
    for kind in kinds:
        text = _draw_text(random, words[20:], 14)
        first, second = np.sort(random.choice(14, 2, replace=False))
        early, late = (words[:10], words[10:20]) if kind else (words[10:20], words[:10])
        text[first], text[second] = str(random.choice(early)), str(random.choice(late))
        texts.append(" ".join(text))
    return texts, _name_classes(kinds)


def _make_phrases() -> Texts:
    """Return texts with one of three phrases of two words; all the words occur in every class."""
    random, words = np.random.default_rng(14), _list_words(240)
    phrases = ((0, 1), (1, 2), (2, 0))
    kinds, texts = random.integers(0, 3, ROWS), []
    for kind in kinds:
        text = _draw_text(random, words[3:], 12)
        first, second = phrases[kind]
        place = int(random.integers(0, len(text)))
        text[place:place] = [words[first], words[second]]
        text.insert(int(random.integers(0, len(text) + 1)), words[3 - first - second])
        texts.append(" ".join(text))
    return texts, _name_classes(kinds)


def _make_ratings() -> Texts:
    """Return texts of 5 to 40 words whose target is the mean of their words' worth, with noise."""
    random, words = np.random.default_rng(15), _list_words(300)
    worth, places = random.normal(0, 1, len(words)), {word: place for place, word in enumerate(words)}
    texts = [_draw_text(random, words, int(random.integers(5, 41))) for _ in range(ROWS)]
    means = np.array([np.mean([worth[places[word]] for word in text]) for text in texts])
    return [" ".join(text) for text in texts], np.round(means + random.normal(0, 0.1, ROWS), 4)


def _name_classes(numbers: np.ndarray) -> np.ndarray:
    return np.array([f"class {number}" for number in numbers])


TEXTS: Mapping[str, Callable[[], Texts]] = {
    "topics": _make_topics,
    "opinions": _make_opinions,
    "phrases": _make_phrases,
    "ratings": _make_ratings,
    "orders": _make_orders,
}
