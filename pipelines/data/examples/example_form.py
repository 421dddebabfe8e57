"""Form of a study's examples: which arrays x, y and sample weights consist of, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.data.examples.structures import Structure, flatten, from_json, to_json

PLACES = ("x", "y", "sample_weight")


@dataclass(frozen=True)
class ExampleForm:
    """Form of a study's examples: structures of `Leaf`, and the batches that they came in.

    Attributes:
        y: None where there are no targets; `sample_weight` likewise.
        batch_size: rows of a batch where the source was a dataset of batches; 0 for a dataset of rows; None for arrays.
    """

    x: Structure
    y: Structure
    sample_weight: Structure
    batch_size: int | None = None

    @property
    def is_dataset(self) -> bool:
        """Return whether the source was a dataset and not arrays."""
        return self.batch_size is not None

    def describe(self) -> str:
        """Return all leaves of x and y in one phrase."""
        return "; ".join(f"{place}: {_describe(form)}" for place, form in (("x", self.x), ("y", self.y)) if form)

    def describe_inputs(self) -> str:
        """Return the leaves of x in one phrase."""
        return _describe(self.x)

    def describe_targets(self) -> str:
        """Return the leaves of y in one phrase."""
        return "no targets" if self.y is None else f"targets as given: {_describe(self.y)}"

    def to_json(self) -> dict[str, Any]:
        """Return the form as values that JSON has."""
        return {**{place: to_json(getattr(self, place)) for place in PLACES}, "batch_size": self.batch_size}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> ExampleForm:
        """Return the form that `to_json` converted."""
        x, y, weight = (from_json(read[place]) for place in PLACES)
        return cls(x, y, weight, read["batch_size"])


def _describe(form: Structure) -> str:
    leaves = flatten(form)
    if len(leaves) == 1 and not isinstance(form, dict | list | tuple):
        return str(leaves[0].describe())
    return ", ".join(f"{leaf.name} {leaf.describe()}" for leaf in leaves)
