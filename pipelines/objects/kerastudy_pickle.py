"""Loader of code that `kerastudy.run` received as an object; it runs without kerastudy.

Copied beside each such pickle, and wherever the code of a model goes with the model. A pickle runs code while it is
read: only the Python file that was written with it reads it.
"""

# Cloudpickle and Keras are imported where they are used: kerastudy also imports this module for its path.
from __future__ import annotations

import linecache
import platform
import sys
from pathlib import Path
from typing import Any


def load_pickle(code: str, python: str) -> dict[str, Any]:
    """Return the objects of the pickle beside a Python file, by name, and make the settings that it was sent with.

    Args:
        code: path of the Python file that was written with the pickle.
        python: the version of Python that wrote it, such as `3.11`.

    Raises:
        ImportError: if this is another version of Python.
    """
    if python != name_python():
        message = f"this code was sent from Python {python}, and this is Python {name_python()}; use Python {python}"
        raise ImportError(message)
    import cloudpickle

    with Path(code).with_suffix(".pkl").open("rb") as opened:
        content = cloudpickle.load(opened)
    for name, lines in content["sources"].items():
        # Without a time: lines that are never compared with a file.
        linecache.cache[name] = (sum(map(len, lines)), None, lines, name)
    # Behind all others, as the folder of a study file's code.
    sys.path += [folder for folder in content["folders"] if folder not in sys.path]
    if content["registered"]:
        _register(content["registered"])
    set_keras_settings(content["settings"])
    names: dict[str, Any] = content["names"]
    return names


def name_python() -> str:
    """Return the version of Python as far as bytecode depends on it."""
    return ".".join(platform.python_version_tuple()[:2])


def set_keras_settings(settings: dict[str, Any]) -> None:
    """Make settings of Keras for this process, such as its precision, by their names in `keras.config`."""
    if settings:
        from keras import config

        for name, value in settings.items():
            getattr(config, f"set_{name}")(value)


def _register(registered: list[tuple[str, Any]]) -> None:
    import keras

    for name, value in registered:
        if ">" in name:
            keras.saving.register_keras_serializable(*name.split(">", 1))(value)
        else:
            keras.saving.get_custom_objects()[name] = value
