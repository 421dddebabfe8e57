"""Steps of a model over batches, as trainers call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _do_nothing() -> None:
    """Do nothing: the model's own variables are all the state there is."""


@dataclass(frozen=True)
class ModelSteps:
    """A model's training step and test step over a batch (x, y, sample weights), the last ones where there are any.

    Attributes:
        devices: number of devices that divide a batch among them.
        begin: called when the model has the state that its training starts or goes on from.
        load: called before the first batch of a pass over the rows, with the metrics reset.
        store: called after its last batch: the model's variables must have the new state then.
    """

    train: Callable[[Any], Any]
    test: Callable[[Any], Any]
    devices: int = 1
    begin: Callable[[], None] = _do_nothing
    load: Callable[[], None] = _do_nothing
    store: Callable[[], None] = _do_nothing
