"""TensorFlow's SavedModel, for TF Serving and anything else that takes one; its signature names the raw columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.prepared import Array


class SavedModel:
    """See `formats.Format`."""

    name = "saved_model"
    tolerance = 1e-6

    def write(self, model: Any, folder: Path) -> Path:
        """Write the folder `saved_model/`."""
        written = folder / "saved_model"
        model.export(written, format="tf_saved_model", verbose=False)
        return written

    def predict(self, written: Path, raw: Mapping[str, Array]) -> Array:
        """Load the folder and predict through its serving signature."""
        import numpy as np
        import tensorflow as tf

        from pipelines.models.deployed import batches

        serve = tf.saved_model.load(str(written)).signatures["serving_default"]
        answers = [next(iter(serve(**batch).values())) for batch in batches(raw)]
        return np.concatenate([np.asarray(answer) for answer in answers])
