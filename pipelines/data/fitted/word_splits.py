"""Words of a text or a list, split exactly as TensorFlow's operations on bytes split them.

`str.lower` and `str.split` know all of Unicode; TensorFlow's know ASCII, and a deployed model uses these.
"""

from __future__ import annotations

import string

_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_PUNCTUATION = string.punctuation.encode()


def split_text(text: str) -> list[str]:
    """Return the words of a text, as Keras's `TextVectorization` makes them by default."""
    return [word.decode() for word in text.encode().translate(_LOWER, _PUNCTUATION).split()]


def split_list(joined: str) -> list[str]:
    """Return the words of a list's input, as `TextVectorization` splits it without standardising it."""
    return [word.decode() for word in joined.encode().split()]
