"""Readers of a prepared folder."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.prepared_folder import load_part


@pytest.fixture
def folder(tmp_path):
    """A folder of two folds with arrays alone."""
    for fold in range(2):
        below = tmp_path / f"fold-{fold}"
        below.mkdir()
        np.save(below / "train.dense.npy", np.full((4, 2), fold, np.float32))
        np.save(below / "train.y.npy", np.arange(4))
        np.save(below / "validation.raw.npy", np.zeros((2, 2)))
        np.save(below / "validation.y.npy", np.arange(2))
    return tmp_path


def test_a_part_has_its_inputs_by_name(folder):
    """Targets and raw rows are no inputs; each fold has a folder."""
    part = load_part(folder, "train", 1)
    assert list(part.x) == ["dense"]
    assert part.x["dense"].max() == 1.0
    assert part.rows == 4
    assert dict(load_part(folder, "validation").x) == {}


def test_arrays_are_mapped_and_read_only(folder):
    """A trial cannot change the rows of the next one."""
    part = load_part(folder, "train")
    assert isinstance(part.x["dense"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        part.x["dense"][0] = 1.0
