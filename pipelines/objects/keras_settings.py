"""Settings of Keras for the whole process, such as mixed precision: a script makes them beside its model function."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.objects.kerastudy_pickle import set_keras_settings

_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "dtype_policy": "float32"}


def read_keras_settings() -> dict[str, Any]:
    """Return the settings of this process that differ from Keras's defaults; none where Keras is not loaded."""
    # Importing it takes seconds, and a process without it has made no settings.
    return {name: value for name, value in _read_all().items() if value != _DEFAULTS[name]}


@contextmanager
def keep_keras_settings() -> Iterator[None]:
    """Leave the settings as they are, whatever the code in this block sets."""
    before = _read_all()
    try:
        yield
    finally:
        set_keras_settings(before)


def _read_all() -> dict[str, Any]:
    if "keras" not in sys.modules:
        return {}
    from keras import config

    return {
        "floatx": config.floatx(),
        "epsilon": config.epsilon(),
        "image_data_format": config.image_data_format(),
        "dtype_policy": config.dtype_policy().name,
    }
