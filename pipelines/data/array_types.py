"""Types of numpy arrays: of any element type, and of single-precision floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FloatArray = npt.NDArray[np.float32]
