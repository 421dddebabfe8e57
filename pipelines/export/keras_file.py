"""The `.keras` format: loads with `keras.models.load_model`, without kerastudy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.prepared import Array


class KerasFile:
    """See `formats.Format`."""

    name = "keras"
    tolerance = 1e-6

    def write(self, model: Any, folder: Path) -> Path:
        """Write `model.keras`."""
        written = folder / "model.keras"
        model.save(written)
        return written

    def predict(self, written: Path, raw: Mapping[str, Array]) -> Array:
        """Load the file and predict."""
        import keras

        from pipelines.models.deployed import predict_raw

        return predict_raw(keras.models.load_model(written), raw)
