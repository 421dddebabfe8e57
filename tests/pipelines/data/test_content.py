"""Rows of a study as a user model gets them: unchanged, or as columns."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_examples_part, load_raw, load_summary
from pipelines.spec.data_spec import DataSpec

TOKENS = np.random.default_rng(0).integers(1, 200, size=(40, 7)).astype("int16")


def prepare_loader(tmp_path, body, **keys):
    (tmp_path / "loader.py").write_text(f"import numpy as np\nimport pandas as pd\n\ndef load():\n    {body}\n")
    spec = DataSpec.model_validate({"source": "loader.py:load", **keys})
    return prepare(spec, tmp_path, tmp_path / "ready", "any")


def test_arrays_reach_the_model_as_they_were(tmp_path):
    """Values, types and structure of every part are the author's, bit by bit."""
    np.save(tmp_path / "t.npy", TOKENS)
    body = f"x = np.load('{tmp_path / 't.npy'}'); return {{'words': x, 'n': (x[:, :1] / 3,)}}, [x[:, 0], x[:, 1:3]]"
    summary = prepare_loader(tmp_path, body)
    assert summary == load_summary(tmp_path / "ready")
    assert summary.task.kind == "custom"
    assert [(raw.name, raw.shape, raw.dtype) for raw in summary.raw] == [
        ("words", (7,), "int16"),
        ("n_0", (1,), "float64"),
    ]
    split = pd.read_csv(tmp_path / "ready" / "split.csv")["part"]
    for part in ("train", "validation", "test"):
        rows, loaded = TOKENS[split == part], load_examples_part(tmp_path / "ready", part)
        assert np.array_equal(loaded.x["words"], rows)
        assert loaded.x["words"].dtype == np.int16
        assert np.array_equal(loaded.x["n"][0], rows[:, :1] / 3)
        assert np.array_equal(loaded.y[1], rows[:, 1:3])
    assert np.array_equal(load_raw(tmp_path / "ready", "test")["words"], TOKENS[split == "test"])
    assert any("unchanged: words int16 [row, 7]" in note for note in summary.notes)


@pytest.mark.parametrize("y", ["np.ones(40)", "None", "np.arange(40.0)", "np.array(['a', 'b'] * 20)", "x"])
def test_any_target_goes_through(tmp_path, y):
    """Constant, absent, continuous and textual targets, and y = x, are the model's matter."""
    summary = prepare_loader(tmp_path, f"x = np.zeros((40, 2)); return x, {y}")
    assert summary.rows == {"train": 28, "validation": 8, "test": 4}
    assert (load_examples_part(tmp_path / "ready", "train").y is None) == (y == "None")


def test_a_split_keeps_the_shares_of_classes(tmp_path):
    """Given targets of few values are stratified like a table's, whatever the values are."""
    prepare_loader(tmp_path, "y = np.array([-1] * 30 + [1] * 10); return np.zeros((40, 1)), y")
    assert np.array(load_examples_part(tmp_path / "ready", "validation").y).tolist().count(1) == 2


def test_a_table_as_its_columns(tmp_path):
    """`none` gives a table as a dict of columns, each in its type; `auto` standardises it."""
    pairs = "{'a': [1, 2], 'b': [0.5, None], 'c': ['x', ''], 'd': [True, False], 't': ['n', 'y']}"
    frame = f"pd.DataFrame({{name: pair * 20 for name, pair in {pairs}.items()}})"
    columns = prepare_loader(tmp_path, f"return {frame}", target="t", preprocess="none")
    x = load_examples_part(tmp_path / "ready", "train").x
    assert {name: values.dtype.kind for name, values in x.items()} == {"a": "i", "b": "f", "c": "O", "d": "b"}
    assert columns.task.classes == ("n", "y")
    dense = prepare_loader(tmp_path, f"return {frame}", target="t")
    assert load_examples_part(tmp_path / "ready", "train").x.dtype == np.float32
    assert any("data.preprocess: auto; none gives" in note for note in dense.notes)


def test_a_dataset_keeps_its_batches(tmp_path):
    """The size of a dataset's batches is part of the form, and a note says that it was read once."""
    body = (
        "import tensorflow as tf; return tf.data.Dataset.from_tensor_slices((np.zeros((40, 2)), np.zeros(40))).batch(8)"
    )
    summary = prepare_loader(tmp_path, body)
    assert summary.given.batch_size == 8
    assert load_examples_part(tmp_path / "ready", "train").batch_size == 8
    assert any("read once" in note for note in summary.notes)


def test_sequences_keep_their_axes_when_standardised(tmp_path):
    """`dense` standardises each channel of [row, time, channel] by itself and adds no axis."""
    body = "x = np.random.default_rng(0).normal([0, 100], [1, 5], size=(40, 6, 2)); return x, np.arange(40) % 2"
    prepare_loader(tmp_path, body, preprocess="dense")
    x = load_examples_part(tmp_path / "ready", "train").x
    assert x.shape == (28, 6, 2)
    assert np.allclose(np.std(x, axis=(0, 1)), 1, atol=0.01)


def test_a_family_needs_preprocessing(tmp_path, problem):
    """A shipped family takes no unchanged data."""
    np.savez(tmp_path / "d.npz", x=np.zeros((40, 2)), y=np.arange(40) % 2)
    spec = DataSpec(source="d.npz", preprocess="none")
    assert problem(prepare, spec, tmp_path, tmp_path / "ready", "dense").path == "data.preprocess"


def test_ragged_rows_of_a_study(tmp_path):
    """Ragged rows are split like others and stay ragged."""
    body = "import tensorflow as tf; return tf.ragged.constant([[1] * (i % 4) for i in range(40)]), np.arange(40)"
    prepare_loader(tmp_path, body)
    x = load_examples_part(tmp_path / "ready", "train").x
    assert isinstance(x, tf.RaggedTensor)
    assert x.shape[0] == 28
