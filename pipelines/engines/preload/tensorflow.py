"""Loads TensorFlow and Keras into their fork server, so that each worker starts in under a second.

For the shipped families: Keras's wrappers for scikit-learn and its galleries of images say that these are not
installed. A model of a study's own finds them whole; see `preload_tensorflow_whole`.
"""

from __future__ import annotations

from pipelines.engines.preload.loading import load_jobs, load_tensorflow

load_tensorflow("sklearn", "matplotlib", "scipy.optimize")  # 1.7 seconds that would pass before anything else can
load_jobs("pipelines.data.prepare", "pipelines.training.model_check")
