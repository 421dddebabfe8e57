"""Interface between the export and one file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.structures import Structure
from search_spaces.errors import KerastudyError

Outputs = tuple[Array, ...]
"""Predictions, one array [row, ...] for each output of the model, in the order of Keras's `flatten`."""

# Named arrays and no tensors: every runtime takes NumPy.
Predict = Callable[[Mapping[str, Array]], Outputs]
"""Predictions for raw columns."""

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
class Reading:
    """The decision that an output stands for.

    Attributes:
        kind: the index of the largest number in the last axis (`class`), whether a number is at least `threshold`, or
            the number itself.
        meaning: the numbers in words.
    """

    kind: Literal["class", "threshold", "value"] = "value"
    threshold: float = 0.5
    meaning: str = ""


@dataclass(frozen=True)
class OutputTensor:
    """One output of a model.

    Attributes:
        name: its name in the files; `output_0` where the model has one output without a name.
        shape: shape of one row; None for an axis whose length differs.
        dtype: Keras's name of the type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    reading: Reading = Reading()


@dataclass(frozen=True)
class SourceModel:
    """A trial's model in the forms that a format converts.

    Attributes:
        model: takes raw columns by name, and returns its outputs by name, or its only output.
        preprocessing: its first half, from raw columns to the inputs of the network; None where it has none.
        network: its second half; its inputs have the names of the outputs of `preprocessing`. `model` where that is
            None.
        file: the file of the model, as its trial left it; None where no file can hold it.
        calibration: training rows as inputs of the network.
        outputs: in the order of `Outputs`.
        source: the model in `file`, whose ends have structures of their own; `model` where None.
        takes: see `WrittenFile`.
        write_portable: writes the model with its code and a loader to a new folder; None where its file loads alone.
        needs_code: whether Keras needs classes of the model's code to load its file.
        untraceable: why there is no `model`, so that only Keras's own formats hold it; empty where there is one.
    """

    model: Any
    preprocessing: Any
    network: Any
    file: Path | None
    calibration: Mapping[str, Array]
    outputs: tuple[OutputTensor, ...] = (OutputTensor("output_0", (None,), "float32"),)
    source: Any = None
    takes: Structure = None
    write_portable: Callable[[Path], None] | None = None
    needs_code: bool = False
    untraceable: str = ""

    @property
    def original(self) -> Any:
        """The model whose predictions every file must give, in the order of `Outputs`."""
        return self.model if self.source is None else self.source

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return tuple(each.name for each in self.outputs)


@dataclass(frozen=True)
class WrittenFile:
    """File that a format wrote.

    Attributes:
        file: name of the file or folder in the export's folder.
        preprocessing_file: name of the file with the preprocessing; empty where `part` is the whole model.
        note: a restriction that users must know; empty where there is none.
        outputs: names of the model's outputs, in the order of `Outputs`.
        takes: the structure of a Keras model's input, with names of raw inputs for leaves; None for a dict by name.
        rows: number of rows that the file takes at once; None for any number.
    """

    file: str
    part: Part = "model"
    preprocessing_file: str = ""
    note: str = ""
    outputs: tuple[str, ...] = ("output_0",)
    takes: Structure = None
    rows: int | None = None

    def order_outputs(self, answers: Mapping[str, Any]) -> Outputs:
        """Return a runtime's answers in the order of the model's outputs; a single one has any name."""
        if len(self.outputs) == 1:
            return (np.asarray(next(iter(answers.values()))),)
        return tuple(np.asarray(answers[name]) for name in self.outputs)


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
