"""The sets of scikit-learn and Keras, without a network."""

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from pipelines.data.reading import builtin_datasets
from pipelines.data.reading.builtin_datasets import SKLEARN_SETS, load_keras, load_sklearn


@pytest.mark.parametrize("name", SKLEARN_SETS)
def test_sklearn_sets(name):
    """Every set that comes with scikit-learn loads without a download."""
    raw = load_sklearn(name, "data.source", "dense")
    assert raw.rows > 100
    assert raw.rows == (raw.examples.rows if raw.examples else len(raw.labels))


@pytest.mark.parametrize("name", SKLEARN_SETS)
def test_sklearn_sets_are_those_of_scikit_learn(name):
    """Most are read from its files, without importing it: values, types and names as its own functions return them."""
    raw = load_sklearn(name, "data.source", "dense")
    bunch = getattr(sklearn.datasets, f"load_{name}")(as_frame=name != "digits")
    if raw.examples:
        assert raw.examples.x.tobytes() == bunch.data.tobytes()
        assert raw.examples.x.dtype == bunch.data.dtype
        assert np.array_equal(raw.examples.y, bunch.target)
        return
    pd.testing.assert_frame_equal(raw.table, bunch.data)
    pd.testing.assert_series_equal(raw.labels["target"], bunch.target)
    assert raw.class_names == tuple(map(str, bunch.get("target_names", ())))


@pytest.mark.parametrize("name", [each for each in SKLEARN_SETS if each != "diabetes"])
def test_a_release_without_the_file(name, monkeypatch):
    """The set is loaded by scikit-learn then, and is the same."""
    read = load_sklearn(name, "data.source", "dense")
    monkeypatch.setattr(builtin_datasets, "_FILES", {})
    loaded = load_sklearn(name, "data.source", "dense")
    if read.examples:
        assert np.array_equal(read.examples.x, loaded.examples.x)
        assert np.array_equal(read.examples.y, loaded.examples.y)
    else:
        pd.testing.assert_frame_equal(read.table, loaded.table)
        pd.testing.assert_frame_equal(read.labels, loaded.labels)
        assert read.class_names == loaded.class_names


def test_digits_as_pictures_or_features():
    """Digits are pictures for a family that takes pictures, rows of 64 features otherwise."""
    assert load_sklearn("digits", "data.source", "image").examples.x.shape == (1797, 8, 8, 1)
    assert load_sklearn("digits", "data.source", "dense").examples.x.shape == (1797, 64)


def test_class_names_are_kept():
    """A set that names its classes keeps the names."""
    assert load_sklearn("breast_cancer", "data.source", "dense").class_names == ("malignant", "benign")


@pytest.mark.parametrize(("function", "arguments"), [(load_sklearn, ("dense",)), (load_keras, ())])
def test_unknown_set(problem, function, arguments):
    """An unknown name hints at the nearest."""
    wrong = "digit" if function is load_sklearn else "mnst"
    found = problem(function, wrong, "data.source", *arguments)
    assert found.path == "data.source"
    assert f'did you mean "{"digits" if function is load_sklearn else "mnist"}"' in found.message


def test_keras_set_from_the_cache(tmp_path, monkeypatch):
    """A set in Keras's cache loads from there, its test rows kept as the test part."""
    import keras

    (tmp_path / "datasets").mkdir()
    file = tmp_path / "datasets" / "mnist.npz"
    arrays = {"x_train": np.zeros((6, 28, 28), np.uint8), "y_train": np.arange(6, dtype=np.uint8)}
    np.savez(file, **arrays, x_test=np.ones((2, 28, 28), np.uint8), y_test=np.array([0, 1], np.uint8))
    monkeypatch.setattr(keras.src.utils.file_utils.config, "keras_home", lambda: str(tmp_path))
    # Keras compares the file's hash, and would download it again.
    monkeypatch.setattr(keras.src.utils.file_utils, "validate_file", lambda *_, **__: True)
    raw = load_keras("mnist", "data.source")
    assert raw.examples.x.shape == (8, 28, 28)
    assert raw.examples.x.dtype == np.uint8
    assert [origin.part for origin in raw.origins] == [None, "test"]


def test_keras_set_that_cannot_be_downloaded(tmp_path, monkeypatch, problem):
    """A failed download is an error in words, not Keras's traceback."""
    import keras

    def refuse(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", refuse)
    assert "cannot be downloaded: no route to host" in problem(load_keras, "mnist", "data.source").message
