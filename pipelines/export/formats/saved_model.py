"""TensorFlow's SavedModel, for TF Serving and similar servers; its signature names the raw columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.data.array_types import Array
from pipelines.export.base import Outputs, Predict, SourceModel, Tolerance, WrittenFile


class SavedModel:
    """See `base.Format`."""

    name = "saved_model"
    about = "TensorFlow's SavedModel, for TF Serving"
    packages: Mapping[str, str] = {}
    extra = ""
    tolerance = Tolerance(difference=1e-6)

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the folder `saved_model/`."""
        deployed.model.export(folder / "saved_model", format="tf_saved_model", verbose=False)
        return WrittenFile("saved_model", outputs=deployed.output_names)

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the folder; predictions come from its serving signature."""
        import tensorflow as tf

        from pipelines.models.raw_predict import iterate_batches, join_batches

        loaded = tf.saved_model.load(str(folder / written.file))
        serve = loaded.signatures["serving_default"]

        def predict(
            raw: Mapping[str, Array], loaded: object = loaded
        ) -> Outputs:  # the signature holds no reference to its model
            return join_batches(list(written.order_outputs(serve(**batch))) for batch in iterate_batches(raw))

        return predict
