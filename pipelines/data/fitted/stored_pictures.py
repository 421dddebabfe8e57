"""The output of a preprocessing that is a picture, and may be stored as the picture's bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.data.array_types import Array, FloatArray
from pipelines.data.examples.picture_rows import PictureRows
from pipelines.data.fitted.scaling import find_scale
from pipelines.data.fitted.values import Fitted, FittedArray, FittedTable, Moments


@dataclass(frozen=True)
class PictureOutput:
    """Output that a byte becomes by a center and a factor of its channel; see `PictureRows`.

    Attributes:
        input: name of the pictures among the raw inputs.
        output: name of the output.
    """

    input: str
    output: str
    center: FloatArray
    factor: FloatArray
    is_flat: bool = False

    def read(self, stored: Array) -> PictureRows:
        """Return stored bytes as rows of the output."""
        return PictureRows(stored, self.center, self.factor, self.is_flat)


def find_pictures(fitted: Fitted) -> PictureOutput | None:
    """Return the output that is a picture; None where there is none."""
    if isinstance(fitted, FittedTable) and fitted.plan.image is not None and fitted.image is not None:
        return PictureOutput(fitted.inputs[fitted.plan.image].name, "image", *_find_steps(fitted.image))
    if not isinstance(fitted, FittedArray) or len(fitted.input.shape) != 3:
        return None
    if fitted.moments is not None:
        steps = _find_steps(fitted.moments)
        return PictureOutput(fitted.input.name, fitted.output, *steps, is_flat=fitted.output == "dense")
    if fitted.pixels == (1.0, 0.0):
        channels = fitted.input.shape[-1]
        return PictureOutput(
            fitted.input.name, fitted.output, np.zeros(channels, np.float32), np.ones(channels, np.float32)
        )
    return None


def leave_out_pictures(fitted: Fitted) -> Fitted | None:
    """Return the preprocessing of the other outputs; None where there are none."""
    return replace(fitted, image=None) if isinstance(fitted, FittedTable) else None


def are_bytes(values: Any) -> bool:
    """Return whether raw values are the bytes of pictures."""
    return bool(values.dtype == np.uint8)


def _find_steps(moments: Moments) -> tuple[FloatArray, FloatArray]:
    # As `row_encoder` standardises.
    return moments[0].astype(np.float32), find_scale(*moments).astype(np.float32)
