"""Names of the model's outputs for several targets."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.data.columns.input_names import make_input_names

_CONFUSED = ("val_", "weighted_")
"""Beginnings of a metric's name that have a meaning."""


def name_outputs(targets: Sequence[str]) -> dict[str, str]:
    """Return the name of the model's output for each target, as its files can have it.

    >>> name_outputs(["price", "is sold?", "val_loss"])
    {'price': 'price', 'is sold?': 'is_sold', 'val_loss': 'target_val_loss'}
    """
    safe: dict[str, str] = {}
    for name in targets:
        plain = f"target_{name}" if name.startswith(_CONFUSED) else name
        while plain in safe.values():
            plain += "_"
        safe[name] = plain
    names = make_input_names(list(safe.values()))
    return {name: names[each] for name, each in safe.items()}
