"""Targets and features of a study's rows."""

import pytest

from pipelines.data.read_content import read_rows
from pipelines.data.reading.sources import load
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError


def test_problems_of_target_and_features_at_once(tmp_path):
    """A target that cannot be used does not hide the columns that cannot."""
    (tmp_path / "d.csv").write_text("a;b;t\n1.203;1;2.100\n987;x;5\n1.100;2;7\n")
    spec = DataSpec.model_validate({"source": "d.csv", "target": "t"})
    with pytest.raises(InputError) as caught:
        read_rows(load(spec, tmp_path, "dense"), spec)
    named = [problem.message.partition(" holds")[0].partition(" mixes")[0] for problem in caught.value.problems]
    assert named == ['the target "t"', 'column "a"', 'column "b"']
