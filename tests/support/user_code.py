"""Forget the code of user models, as a process that has never imported it."""

from __future__ import annotations

import sys

import keras

OURS = ("keras", "keras_tuner", "kerastudy", "pipelines", "search_spaces")


def forget_user_code():
    """Remove the modules of user models and what they registered with Keras; other registrations stay."""
    for name in [name for name in sys.modules if name.startswith("kerastudy_user_")]:
        del sys.modules[name]
    registered = keras.saving.get_custom_objects()
    for name, value in list(registered.items()):
        if getattr(value, "__module__", "").partition(".")[0] not in OURS:
            del registered[name]
