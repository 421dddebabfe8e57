"""Loads TensorFlow and Keras into their fork server, so that each worker starts in under a second.

TensorFlow writes to file descriptor 2 while it is imported, below Python's own streams, whatever its settings say.
"""

from __future__ import annotations

import os

from pipelines.engines.preloading import without

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
_kept = os.dup(2)
_null = os.open(os.devnull, os.O_WRONLY)
os.dup2(_null, 2)
try:
    with without("jax"):  # TensorFlow's Lite converter would load it: one more second and 110 MB
        import keras
        import keras_tuner
        import tensorflow
finally:
    os.dup2(_kept, 2)
    os.close(_kept)
    os.close(_null)

__all__ = ["keras", "keras_tuner", "tensorflow"]
