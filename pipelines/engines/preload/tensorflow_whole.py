"""Preload of TensorFlow and Keras for a fork server, with every optional module that user code may need."""

from __future__ import annotations

from pipelines.engines.preload.loading import load_jobs, load_tensorflow

load_tensorflow()
load_jobs("pipelines.data.prepare", "pipelines.training.user_model.model_check")
