"""Preload of TensorFlow and Keras for their fork server, so that each worker starts in under a second.

For the shipped families: Keras's wrappers for scikit-learn and its galleries of images report that these are not
installed. User models get them whole; see `tensorflow_whole`.
"""

from __future__ import annotations

from pipelines.engines.preload.loading import load_jobs, load_tensorflow

load_tensorflow("sklearn", "matplotlib", "scipy.optimize")  # 1.7 seconds before anything else can run
load_jobs("pipelines.data.prepare", "pipelines.training.model_check")
