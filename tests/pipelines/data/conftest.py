"""Small sources on disk, and the one problem that a call complains of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.data.raw import RawData
from pipelines.data.reading.sources import load
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., RawData]:
    """Return a function that writes text as `data.csv` and loads it."""

    def write_and_load(text: str, **keys: object) -> RawData:
        (tmp_path / "data.csv").write_text(text, encoding="utf-8")
        return load(DataSpec.model_validate({"source": "data.csv", **keys}), tmp_path, "dense")

    return write_and_load


@pytest.fixture
def problem() -> Callable[..., Problem]:
    """Return a function that calls another and returns the only problem of the InputError it must raise."""

    def call(function: Callable[..., object], *arguments: object) -> Problem:
        with pytest.raises(InputError) as caught:
            function(*arguments)
        assert len(caught.value.problems) == 1
        return caught.value.problems[0]

    return call
