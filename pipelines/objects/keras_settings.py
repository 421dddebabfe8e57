"""Settings of Keras for the whole process, such as mixed precision: a script makes them beside its model function."""

from __future__ import annotations

import sys
from collections.abc import Mapping

_DEFAULTS = {"dtype_policy": "float32", "floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def read_keras_settings() -> dict[str, str | float]:
    """Return the settings of this process that differ from Keras's defaults; none where Keras is not loaded."""
    # Importing it takes seconds, and a process without it has made no settings.
    if "keras" not in sys.modules:
        return {}
    from keras import config

    found = {
        "floatx": config.floatx(),
        "epsilon": config.epsilon(),
        "image_data_format": config.image_data_format(),
        "dtype_policy": config.dtype_policy().name,
    }
    return {name: value for name, value in found.items() if value != _DEFAULTS[name]}


def set_keras_settings(settings: Mapping[str, str | float]) -> None:
    """Make settings that `read_keras_settings` returned in another process."""
    if settings:
        from keras import config

        for name, value in settings.items():
            getattr(config, f"set_{name}")(value)
