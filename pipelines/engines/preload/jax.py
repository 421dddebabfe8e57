"""Preload of JAX and Keras for their fork server, so that each worker starts in under a second.

Nothing here may request a device or an array from JAX: that starts XLA's threads, and no thread survives a fork.
"""

from __future__ import annotations

import os

from pipelines.engines.preload.loading import hide_modules_quietly, load_jobs

os.environ["KERAS_BACKEND"] = "jax"
# All workers share one accelerator, and XLA reserves three quarters of its memory at the start.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Keras has wrappers for scikit-learn and galleries of images, KerasTuner an oracle that minimises: 2 seconds of one
# core to import, and fleets use none of them.
with hide_modules_quietly("sklearn", "matplotlib", "scipy.optimize"):
    import jax
    import keras
    import keras_tuner

load_jobs("pipelines.training.fleet.job")

__all__ = ["jax", "keras", "keras_tuner"]
