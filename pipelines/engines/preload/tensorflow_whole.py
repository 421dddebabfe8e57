"""Loads TensorFlow and Keras into a fork server, with everything that a person's own code may ask of them."""

from __future__ import annotations

from pipelines.engines.preload.loading import load_jobs, load_tensorflow

load_tensorflow()
load_jobs("pipelines.data.prepare", "pipelines.training.user_model.model_check")
