"""The catalogue of optimizers beside Keras's classes."""

from __future__ import annotations

import inspect

from pipelines.models.optimizer_catalogue import OPTIMIZERS


def test_optimizers_stand_with_the_defaults_of_keras():
    """Where a space is silent, an optimizer's argument has the default that Keras gives it."""
    from pipelines.models.optimizers import OPTIMIZER_CLASSES

    for name, arguments in OPTIMIZERS.items():
        signature = inspect.signature(OPTIMIZER_CLASSES[name]).parameters
        ours = dict(arguments.values())
        theirs = {argument: signature[argument].default or 0.0 for argument in ours}
        assert ours == theirs, name
