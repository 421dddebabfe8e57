"""Loads TensorFlow and Keras into their fork server, so that each worker starts in under a second.

TensorFlow writes to file descriptor 2 while it is imported, below Python's own streams, whatever its settings say.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Hidden while TensorFlow is imported, whose Lite converter would load JAX too: one more second and 110 MB.
_modules: dict[str, Any] = sys.modules
_modules.setdefault("jax", None)
_kept = os.dup(2)
_null = os.open(os.devnull, os.O_WRONLY)
os.dup2(_null, 2)
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
        import keras_tuner
        import tensorflow
finally:
    os.dup2(_kept, 2)
    os.close(_kept)
    os.close(_null)
    if _modules["jax"] is None:
        del _modules["jax"]

__all__ = ["keras", "keras_tuner", "tensorflow"]
