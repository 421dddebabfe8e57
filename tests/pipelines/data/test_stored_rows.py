"""Rows of loaders, kept for the study that began with them."""

import numpy as np

from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_examples_part
from pipelines.data.splits.division import Division
from pipelines.spec.data_spec import DataSpec

CODE = "import numpy as np\n\ndef load():\n    return np.random.normal(size=(40, 2)), np.arange(40) % 2\n"


def test_a_study_goes_on_with_the_rows_that_it_began_with(tmp_path, problem):
    """A loader that draws at random is not called again, also where the rows are divided again."""
    (tmp_path / "loader.py").write_text(CODE)
    spec, folder = DataSpec(source="loader.py:load"), tmp_path / "ready"
    first = prepare(spec, tmp_path, folder, "any")
    rows = {part: np.array(load_examples_part(folder, part).x) for part in ("train", "validation")}
    assert prepare(spec, tmp_path, folder, "any", first.digest) == first
    prepare(spec, tmp_path, tmp_path / "whole", "any", first.digest, division=Division(1), rows_of=folder)
    whole = load_examples_part(tmp_path / "whole", "train").x
    assert sorted(whole[:, 0]) == sorted(np.concatenate([rows["train"], rows["validation"]])[:, 0])
    # Changed code may mean other data.
    (tmp_path / "loader.py").write_text(CODE + "\n# changed\n")
    assert "has changed" in problem(prepare, spec, tmp_path, folder, "any", first.digest).message


def test_rows_for_a_family_are_kept_too(tmp_path):
    """Preprocessed rows of a loader are divided again from the rows as they were given."""
    (tmp_path / "loader.py").write_text(CODE)
    spec, folder = DataSpec(source="loader.py:load"), tmp_path / "ready"
    first = prepare(spec, tmp_path, folder, "dense")
    whole = prepare(spec, tmp_path, tmp_path / "whole", "dense", first.digest, division=Division(1), rows_of=folder)
    assert whole.rows["train"] == first.rows["train"] + first.rows["validation"]
