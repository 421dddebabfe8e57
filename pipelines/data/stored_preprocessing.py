"""Preprocessing model of a prepared folder; apart from its readers, because fleets need neither it nor pandas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.engines.local_copies import locate

if TYPE_CHECKING:
    import keras


def load_preprocessing(folder: Path, fold: int = 0) -> keras.Model:
    """Return the preprocessing model of a fold; an earlier version wrote it as a file of Keras."""
    from pipelines.data.fitted.files import read_fitted  # loads pandas

    below = locate(folder) / f"fold-{fold}"
    if (fitted := read_fitted(below)) is None:
        import keras

        return keras.saving.load_model(below / "preprocessing.keras")
    from pipelines.data.preprocessing import build_preprocessing  # loads Keras

    return build_preprocessing(fitted)


def has_preprocessing(folder: Path, fold: int = 0) -> bool:
    """Return whether a fold has a preprocessing; data that goes to a model as it is has none."""
    from pipelines.data.fitted.files import FITTED_FILE  # loads pandas

    below = locate(folder) / f"fold-{fold}"
    return (below / FITTED_FILE).exists() or (below / "preprocessing.keras").exists()
