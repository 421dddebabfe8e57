"""Backends that load at the start of a command."""

import pytest

from pipelines.operations.first_backends import list_first_backends
from pipelines.study.load import load_study

FLEET = "study: s\nmodel: mlp\ndata: {source: d.csv, target: y}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FLEET, ("jax", "none")),
        (FLEET.replace("d.csv", "sklearn:iris"), ("jax", "none")),
        (FLEET.replace("d.csv", "l.py:load"), ("jax", "tensorflow")),
        (FLEET.replace("d.csv", "keras:mnist"), ("jax", "tensorflow")),
        (FLEET + "resources: {fleet: off}\n", ("tensorflow", "none")),
        (FLEET.replace("y}", "y, split: {folds: 3}}"), ("tensorflow", "none")),
        (FLEET.replace("mlp", "tabular"), ("tensorflow", "none")),
        (FLEET + "resources: {fleet: off, backend: jax}\n", ("jax", "none")),
    ],
)
def test_backends(tmp_path, text, expected):
    """TensorFlow loads at once only where the first jobs run on it."""
    (tmp_path / "s.yaml").write_text(text)
    (tmp_path / "l.py").write_text("def load(): ...\n")
    assert list_first_backends(load_study(tmp_path / "s.yaml")) == expected
