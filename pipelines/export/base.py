"""Interface between the export and one file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.data.array_types import Array
from search_spaces.errors import KerastudyError

# Named arrays and no tensors: every runtime takes NumPy.
Predict = Callable[[Mapping[str, Array]], Array]
"""Predictions [row, output] for raw columns."""

Part = Literal["model", "network"]
"""Content of a file: the whole model on raw columns, or the network alone, with the preprocessing in another file."""


class FormatError(KerastudyError):
    """A model cannot be written in a format; the message names the layer where one is at fault."""


@dataclass(frozen=True)
class Tolerance:
    """Allowed differences between a file and the Keras model.

    Attributes:
        difference: largest difference between any two predictions, relative to the largest prediction, or to 1 where
            that is larger; None for a format that rounds on purpose.
        agreement: smallest share of rows with the same decision. One row may always differ, however few there are.
        score: allowed loss of score, as a share of the Keras model's. One row may count differently.
        value: for predicted numbers, the largest difference that is still the same decision, as a share of the
            predictions' range; `difference` if None.
    """

    # Relative to 1 for small predictions: probabilities near 0 differ by much of their size, and decide nothing.
    difference: float | None
    agreement: float = 1.0
    score: float = 0.0
    value: float | None = None


@dataclass(frozen=True)
class SourceModel:
    """A trial's model in the forms that a format converts.

    Attributes:
        model: takes raw columns by name.
        preprocessing: its first half, from raw columns to the inputs of the network.
        network: its second half; its inputs have the names of the outputs of `preprocessing`.
        file: the file of `model`.
        calibration: training rows as inputs of the network.
    """

    model: Any
    preprocessing: Any
    network: Any
    file: Path
    calibration: Mapping[str, Array]


@dataclass(frozen=True)
class WrittenFile:
    """File that a format wrote.

    Attributes:
        file: name of the file or folder in the export's folder.
        preprocessing_file: name of the file with the preprocessing; empty where `part` is the whole model.
        note: a restriction that users must know; empty where there is none.
    """

    file: str
    part: Part = "model"
    preprocessing_file: str = ""
    note: str = ""


class Format(Protocol):
    """One deployment format.

    Attributes:
        name: as a study file and `--format` name it.
        about: description in half a line.
        packages: packages that it needs besides our dependencies, by the name of their module.
        extra: the extra of kerastudy that installs them; empty where there are none.
        tolerance: allowed differences of its predictions.
    """

    name: str
    about: str
    packages: Mapping[str, str]
    extra: str
    tolerance: Tolerance

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the model into `folder`.

        Raises:
            FormatError: if the model cannot be written in this format.
        """

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load a file that `write` wrote, with the format's runtime."""
