"""Nested structures of arrays, as `Model.fit` takes them: dicts, lists and tuples around leaves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from keyword import iskeyword
from typing import Any, Literal

Structure = Any
"""A leaf, or a dict, list or tuple of structures."""

LeafForm = Literal["array", "text", "ragged", "sparse"]


@dataclass(frozen=True)
class Leaf:
    """Description of one array of a structure.

    Attributes:
        name: letters, digits and underscores; unique within its structure. TensorFlow's signatures take no other names.
        shape: shape of one row; None for an axis whose length differs between rows.
        dtype: numpy's name of the type; `string` for text.
        form: how its rows are stored.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    form: LeafForm = "array"

    def describe(self) -> str:
        """Return type and shape in one phrase.

        >>> Leaf("x", (20,), "int32").describe()
        'int32 [row, 20]'
        """
        axes = ", ".join(["row", *("any" if length is None else str(length) for length in self.shape)])
        return f"{self.dtype} [{axes}]{' (sparse)' if self.form == 'sparse' else ''}"


def flatten(structure: Structure) -> list[Any]:
    """Return the leaves of a structure in its order.

    >>> flatten({"a": 1, "b": [2, 3]})
    [1, 2, 3]
    """
    return [leaf for _, leaf in _walk(structure, ())]


def name_leaves(structure: Structure, root: str) -> list[str]:
    """Return a name for each leaf: its key, the indexes on the way to it, or `root` where it is alone.

    >>> name_leaves({"age": 1, "two words": [2, 3]}, "x")
    ['age', 'two_words_0', 'two_words_1']
    >>> name_leaves((1, 2), "x")
    ['x_0', 'x_1']
    """
    names: list[str] = []
    for path, _ in _walk(structure, ()):
        steps = path if path and isinstance(path[0], str) else (root, *path)
        cleaned = re.sub(r"\W", "_", "_".join(str(step) for step in steps), flags=re.ASCII)
        # A signature's name begins with a letter.
        name = cleaned if cleaned[:1].isalpha() else f"{root}_{cleaned}"
        # TensorFlow makes Python parameters of the inputs.
        while name in names or iskeyword(name):
            name += "_"
        names.append(name)
    return names


def map_leaves(function: Callable[[Any], Any], structure: Structure) -> Structure:
    """Return the structure with `function` applied to each leaf.

    >>> map_leaves(str, {"a": 1, "b": (2,)})
    {'a': '1', 'b': ('2',)}
    """
    if isinstance(structure, Mapping):
        return {key: map_leaves(function, value) for key, value in structure.items()}
    if isinstance(structure, list | tuple):
        made = [map_leaves(function, each) for each in structure]
        return made if isinstance(structure, list) else tuple(made)
    return function(structure)


def pack(structure: Structure, leaves: Iterator[Any]) -> Structure:
    """Return the structure with its leaves replaced by others, given in the order of `flatten`."""
    return map_leaves(lambda _: next(leaves), structure)


def to_json(structure: Structure) -> Any:
    """Return a structure of `Leaf` as values that JSON has; None stays None."""
    if structure is None:
        return None
    if isinstance(structure, Leaf):
        return {"leaf": asdict(structure)}
    if isinstance(structure, Mapping):
        # Pairs and no object: JSON turns keys such as 0 into text.
        return {"dict": [[key, to_json(value)] for key, value in structure.items()]}
    return {"list" if isinstance(structure, list) else "tuple": [to_json(each) for each in structure]}


def from_json(read: Any) -> Structure:
    """Return the structure that `to_json` converted."""
    if read is None:
        return None
    (kind, content), *_ = read.items()
    if kind == "leaf":
        return Leaf(**{**content, "shape": tuple(content["shape"])})
    if kind == "dict":
        return {key: from_json(value) for key, value in content}
    made = [from_json(each) for each in content]
    return made if kind == "list" else tuple(made)


def _walk(structure: Structure, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(structure, Mapping):
        for key, value in structure.items():
            yield from _walk(value, (*path, key if isinstance(key, int) and path else str(key)))
    elif isinstance(structure, list | tuple):
        for index, each in enumerate(structure):
            yield from _walk(each, (*path, index))
    else:
        yield path, structure
