"""Preload of JAX and Keras for their fork server, so that each worker starts in under a second.

For the shipped families. Keras has wrappers for scikit-learn, galleries of images and adapters for tables of pandas,
KerasTuner an oracle that minimises: two seconds of one core to import, before a study's first trial.
"""

from __future__ import annotations

from pipelines.engines.preload.loading import load_jax

load_jax("sklearn", "matplotlib", "scipy.optimize", "pandas")
