"""Preload of Keras on NumPy for its fork server: workers that write, load and apply models, and train none.

A `.keras` file is the same whatever backend writes it, and rows have the same predictions but for rounding. NumPy loads
in a sixth of TensorFlow's time, and compiles nothing, where JAX compiles each operation for each shape. Its
workers run beside the trials, so everything here has a low priority. Keras on NumPy imports JAX for convolutions
and Fourier transforms, half a second; the models of numbers have none. Nor do arrays of numbers need pandas, Keras
SciPy's linear algebra, and KerasTuner what fetches files: a third of the rest.
"""

from __future__ import annotations

import os

from pipelines.engines.preload.loading import hide_modules_quietly, load_jobs
from tracking.imports.late_modules import import_late

_NICENESS = 10  # chosen, as for jobs aside

os.nice(_NICENESS)
os.environ["KERAS_BACKEND"] = "numpy"
# Keras's convolutions on NumPy are JAX's, and a GPU is for trials.
os.environ["JAX_PLATFORMS"] = "cpu"
_HIDDEN = ("sklearn", "matplotlib", "scipy.optimize", "pandas", "tensorflow", "requests", "charset_normalizer")
_LATE = ("jax", "keras.src.backend.jax", "keras.src.backend.jax.math", "scipy.linalg")
with hide_modules_quietly(*_HIDDEN), import_late(*_LATE):
    import keras
    import keras_tuner

    # The first object that Keras saves or loads lets it import TensorFlow, to compare types; it looks once.
    keras.saving.serialize_keras_object(keras.initializers.Zeros())

# Rows that are arrays need no tables.
with import_late("pandas"):
    load_jobs("pipelines.training.write_models", "pipelines.selection.winner", "pipelines.selection.evaluate")

__all__ = ["keras", "keras_tuner"]
