"""Loads JAX and Keras on it into their fork server, so that each worker starts in under a second.

Nothing here may ask JAX for a device or an array: that starts XLA's threads, and no thread survives a fork.
"""

from __future__ import annotations

import os

from pipelines.engines.preload.loading import hide_modules, load_jobs

os.environ["KERAS_BACKEND"] = "jax"
# One accelerator is shared by all workers: none may take three quarters of its memory for a start.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Keras has wrappers for scikit-learn and galleries of images, KerasTuner an oracle that minimises: 2 seconds of one
# core to import, for nothing that a fleet does.
with hide_modules("sklearn", "matplotlib", "scipy.optimize"):
    import jax
    import keras
    import keras_tuner

load_jobs("pipelines.training.fleet.job")

__all__ = ["jax", "keras", "keras_tuner"]
