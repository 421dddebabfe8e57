"""Files of weights; read and written without Keras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.workspace.atomic_files import make_temporary_path, move_into_place
from tracking.testing.failpoints import hit


def save_weights(weights: Sequence[np.ndarray[Any, Any]], file: Path) -> None:
    """Save the result of a model's `get_weights`, in its order, as an `.npz` file.

    A kill leaves either the old file or the whole new one.
    """
    aside = make_temporary_path(file)
    np.savez(aside, *weights)
    hit("weights-aside")
    move_into_place(aside, file)
    hit("weights-written")


def load_weights(file: Path) -> list[np.ndarray[Any, Any]]:
    """Return the weights that `save_weights` wrote, in their order."""
    with np.load(file) as arrays:
        return [arrays[name] for name in arrays.files]
