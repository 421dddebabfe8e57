"""The seam between the export and one file format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pipelines.data.prepared import Array


class Format(Protocol):
    """One deployment format.

    Attributes:
        name: as a study file and `--format` name it.
        tolerance: largest difference from the Keras model's predictions that counts as equal, relative to the
            largest prediction.
    """

    name: str
    tolerance: float

    def write(self, model: Any, folder: Path) -> Path:
        """Write the model below `folder` and return the file or folder written."""

    def predict(self, written: Path, raw: Mapping[str, Array]) -> Array:
        """Load what `write` wrote and return its predictions [row, output] for raw columns."""
