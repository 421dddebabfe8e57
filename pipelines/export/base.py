"""The seam between the export and one file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.data.prepared import Array
from search_spaces.errors import KerastudyError

Predict = Callable[[Mapping[str, Array]], Array]
"""Predictions [row, output] for raw columns."""

Part = Literal["model", "network"]
"""What a file holds: all from raw columns on, or the network alone, whose preprocessing is a file of its own."""


class FormatError(KerastudyError):
    """A model cannot be written in a format; the message names the layer where one is at fault."""


@dataclass(frozen=True)
class Tolerance:
    """What counts as the same model.

    Attributes:
        difference: largest difference between any two predictions, relative to the largest prediction, or to 1 where
            that is larger; None where rounding is the format's purpose.
        agreement: smallest share of rows with the same decision. One row may always differ, however few there are.
        score: how much worse the score may be, as a share of the Keras model's. One row may count differently.
        value: largest difference that is still the same decision where a number is predicted, as a share of the
            predictions' range; None takes `difference`.
    """

    difference: float | None
    agreement: float = 1.0
    score: float = 0.0
    value: float | None = None


@dataclass(frozen=True)
class SourceModel:
    """A trial's model in the forms that a format may start from.

    Attributes:
        model: takes raw columns by name.
        preprocessing: its first half: raw columns to what the network takes.
        network: its second half; inputs are named as `preprocessing` names its outputs.
        file: where `model` was read from.
        calibration: training rows as the network takes them.
    """

    model: Any
    preprocessing: Any
    network: Any
    file: Path
    calibration: Mapping[str, Array]


@dataclass(frozen=True)
class WrittenFile:
    """What a format wrote.

    Attributes:
        file: name of the file or folder in the export's folder.
        preprocessing_file: name of the file with the preprocessing; empty where `part` is the whole model.
        note: what a person must know of it; empty where there is nothing.
    """

    file: str
    part: Part = "model"
    preprocessing_file: str = ""
    note: str = ""


class Format(Protocol):
    """One deployment format.

    Attributes:
        name: as a study file and `--format` name it.
        about: what it is, in half a line.
        packages: modules that it needs besides our own dependencies, by the packages that hold them.
        extra: the extra that installs them; empty where there are none.
        tolerance: what its predictions may differ by.
    """

    name: str
    about: str
    packages: Mapping[str, str]
    extra: str
    tolerance: Tolerance

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the model below `folder`.

        Raises:
            FormatError: if the model cannot be written so.
        """

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load what `write` wrote, with the format's own runtime."""
