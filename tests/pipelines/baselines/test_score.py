"""Scores of baselines on prepared data of each kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_channel import FakeChannel
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score

from pipelines.baselines.jobs import BaselinesJob
from pipelines.baselines.models import fit_constant
from pipelines.baselines.results import read_baselines
from pipelines.baselines.score import score_baselines
from pipelines.data.prepared import Task
from pipelines.data.prepared_folder import load_part
from pipelines.spec.schema import TrainingSpec


def score(data, folder, metric, direction="maximize", *, is_compiled=False, **training):
    job = BaselinesJob(str(data), str(folder), TrainingSpec.model_validate(training), metric, direction, is_compiled)
    found = score_baselines(job, FakeChannel())
    assert read_baselines(folder) == found
    return found


def get_rows(data, part, fold=0):
    rows = load_part(data, part, fold)
    return np.asarray(rows.x["dense"]), np.asarray(rows.y)


def write_table(folder, columns, name="table.csv"):
    pd.DataFrame(columns).to_csv(folder / name, index=False)
    return str(folder / name)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory, prepare_data):
    """Prepared data with two targets, their logarithm-like class, a weight and a word."""
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 120)).round(4)
    table = {
        "a": a, "b": b, "word": random.choice(["red", "green"], 120), "weight": 1 + (np.arange(120) % 3),
        "y": (3 * a - b + random.normal(size=120)).round(4), "z": (a + b).round(4), "is_up": a > b,
    }  # fmt: skip
    return write_table(tmp_path_factory.mktemp("numbers"), table)


def test_classes_are_scored_as_scikit_learn_scores_them(mixed_data, tmp_path):
    """The area under the curve of a constant is one half; a linear model's is that of its probabilities."""
    found = score(mixed_data, tmp_path, "val_auc")
    (x, y), (x_validation, y_validation) = get_rows(mixed_data, "train"), get_rows(mixed_data, "validation")
    codes = np.asarray(load_part(mixed_data, "train").x.get("codes", np.zeros((len(y), 0))))
    assert codes.shape[1] == 0
    linear = LogisticRegression(max_iter=200).fit(x, y)
    expected = roc_auc_score(y_validation, linear.predict_proba(x_validation)[:, 1])
    constant, logistic = found.found
    assert (constant.name, constant.value) == ("majority", pytest.approx(0.5, abs=1e-3))
    assert (logistic.name, logistic.value) == ("linear", pytest.approx(expected, abs=0.02))
    assert constant.test is not None
    assert logistic.test is not None


def test_the_loss_is_scored_too(mixed_data, tmp_path):
    """Where the loss is the objective, it is that of the shares of the classes."""
    found = score(mixed_data, tmp_path, "val_loss", "minimize")
    y, y_validation = get_rows(mixed_data, "train")[1], get_rows(mixed_data, "validation")[1]
    shares = DummyClassifier(strategy="prior").fit(y, y).predict_proba(y_validation)
    assert found.found[0].label == "predicting the shares of the classes"
    assert found.found[0].value == pytest.approx(log_loss(y_validation, shares[:, 1]), abs=1e-5)


def test_values_are_scored_in_the_unit_of_the_target(numbers, prepare_data, tmp_path):
    """A ridge regression on the prepared rows; the constant is the median where absolute errors count."""
    data = prepare_data(source=numbers, target="y", drop=["z", "is_up", "weight"], split={"test": 0.2})
    found = score(data, tmp_path, "val_mean_absolute_error", "minimize")
    (x, y), (x_validation, y_validation) = get_rows(data, "train"), get_rows(data, "validation")
    ridge = np.abs(Ridge().fit(x, y).predict(x_validation).reshape(-1, 1) - y_validation).mean()
    constant, linear = found.found
    assert (constant.name, constant.value) == ("median", pytest.approx(np.abs(np.median(y) - y_validation).mean()))
    assert linear.value == pytest.approx(ridge, rel=1e-4)
    assert found.explain_unbeaten(constant.value).startswith("no better than a linear model")


def test_folds_have_the_mean_of_their_scores(numbers, prepare_data, tmp_path):
    """Each fold is scored as its trials are: fitted on its training rows, scored on its validation rows."""
    data = prepare_data(source=numbers, target="y", drop=["z", "is_up", "weight"], split={"folds": 3, "test": 0.2})
    found = score(data, tmp_path, "val_root_mean_squared_error", "minimize")
    each = []
    for fold in range(3):
        y, y_validation = get_rows(data, "train", fold)[1], get_rows(data, "validation", fold)[1]
        each.append(np.sqrt(((y.mean() - y_validation) ** 2).mean()))
    assert found.found[0].value == pytest.approx(np.mean(each), rel=1e-5)


def test_several_targets_and_weights(numbers, prepare_data, tmp_path):
    """Rows with weights count in the fit and in a weighted metric; several targets are scored together."""
    data = prepare_data(source=numbers, target=["y", "z"], drop=["is_up"], weight="weight")
    found = score(data, tmp_path, "val_weighted_root_mean_squared_error", "minimize")
    train, validation = load_part(data, "train"), load_part(data, "validation")
    mean = np.average(train.y, axis=0, weights=train.sample_weight)
    squares = ((np.asarray(validation.y) - mean) ** 2).mean(axis=1)
    expected = np.sqrt(np.average(squares, weights=validation.sample_weight))
    assert found.found[0].value == pytest.approx(expected, rel=1e-4)
    assert found.found[1].value < expected


def test_labels_are_scored_together(prepare_data, tmp_path):
    """Several labels have a logistic model each; a label of one class in the training rows is predicted as it is."""
    random = np.random.default_rng(0)
    a = random.normal(size=80)
    table = {"a": a.round(3), "up": (a > 0).astype(int), "down": (a < -0.5).astype(int), "never": 0}
    table["never"] = [0] * 79 + [1]
    data = prepare_data(source=write_table(tmp_path, table), target=["up", "down", "never"], task="multi_label")
    found = score(data, tmp_path, "val_binary_accuracy")
    assert [each.name for each in found.found] == ["majority", "linear"]
    assert found.found[1].value > 0.9


def test_words_and_pictures_have_a_linear_model(prepare_data, tmp_path):
    """Words count by tf-idf; a picture is flattened."""
    random = np.random.default_rng(0)
    kind = random.integers(0, 2, 90)
    words = [f"the {'cat purrs' if each else 'dog barks'} in house {n % 7}" for n, each in enumerate(kind)]
    table = write_table(tmp_path, {"text": words, "y": np.where(kind, "cat", "dog")})
    data = prepare_data("mixed", source=table, target="y", columns={"text": {"type": "text"}})
    assert score(data, tmp_path, "val_accuracy").found[1].value == 1.0
    pictures = random.normal(size=(90, 70, 70, 1)) * 0.1 + kind[:, None, None, None]
    np.savez(tmp_path / "pictures.npz", x=pictures.astype(np.float32), y=kind)
    data = prepare_data("image", source=str(tmp_path / "pictures.npz"))
    assert score(data, tmp_path, "val_accuracy").found[1].value == 1.0


def test_large_data_is_fitted_on_some_rows(mixed_data, tmp_path, monkeypatch):
    """The rows for the fit are limited, and a note states how many there were."""
    monkeypatch.setattr("pipelines.baselines.score._MOST_ROWS", 40)
    linear = score(mixed_data, tmp_path, "val_accuracy").found[1]
    rows = len(get_rows(mixed_data, "train")[1])
    assert linear.notes == (f"fitted on 40 of {rows} training rows",)


def test_a_median_of_many_rows_is_that_of_some(numbers, prepare_data, tmp_path, monkeypatch):
    """A median needs all rows in memory, so it is of as many as may be, with a note."""
    monkeypatch.setattr("pipelines.baselines.score._MOST_ROWS_OF_MEDIAN", 40)
    data = prepare_data(source=numbers, target="y", drop=["z", "is_up", "weight"], split={"test": 0.2})
    constant, _ = score(data, tmp_path, "val_mean_absolute_error", "minimize").found
    rows = load_part(data, "train").rows
    assert constant.notes == (f"the median of 40 of {rows} training rows",)
    of_squares, _ = score(data, tmp_path, "val_root_mean_squared_error", "minimize").found
    assert of_squares.notes == ()


def test_constants_of_rows_in_pieces_are_those_of_all(monkeypatch):
    """Shares of classes and means are the same however few rows are in memory at a time, with weights or without."""
    monkeypatch.setattr("pipelines.data.scratch.CHUNK_ROWS", 7)
    random = np.random.default_rng(1)
    y, values, weights = random.integers(0, 3, 50), random.normal(size=(50, 2)), random.uniform(size=50)
    rows = np.zeros((1, 1))
    for given in (None, weights):
        shares = fit_constant(Task("multiclass", ("y",), ("a", "b", "c")), "val_loss", y, given)(rows)
        np.testing.assert_allclose(shares[0], [np.average(y == each, weights=given) for each in range(3)])
        mean = fit_constant(Task("multi_output_regression", ("u", "v")), "val_loss", values, given)(rows)
        np.testing.assert_allclose(mean[0], np.average(values, axis=0, weights=given))


def test_a_slow_model_is_left_out(numbers, prepare_data, tmp_path, monkeypatch):
    """A baseline of many folds stops at its limit, with the reason; the other one is there."""
    data = prepare_data(source=numbers, target="is_up", split={"folds": 3}, drop=["weight"])
    monkeypatch.setattr("pipelines.baselines.score._MOST_S", -1.0)
    found = score(data, tmp_path, "val_accuracy")
    assert found.skipped == "a linear model is not scored: it takes longer than -1 s"


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        ("val_loss", "the model's code defines val_loss; with objective.metric: val_accuracy"),
        ("val_my_score", "the model's code defines val_my_score, which is none of Keras's metrics"),
        ("val_mean_iou", "Keras's mean_iou is no metric of a binary task"),
    ],
)
def test_a_user_models_metric_may_have_no_baseline(mixed_data, tmp_path, metric, problem):
    """What only the model's code can compute is left out, with the reason."""
    found = score(mixed_data, tmp_path, metric, is_compiled=True)
    assert found.found == ()
    assert found.skipped.startswith(f"no baselines: {problem}")


def test_a_user_models_targets_as_given(prepare_data, tmp_path):
    """Plain vectors of numbers have baselines under Keras's names, one-hot rows among them; others have a reason."""
    random = np.random.default_rng(1)
    x, kind = random.normal(size=(90, 4)).astype(np.float32), random.integers(0, 3, 90)
    x[:, 0] += 4 * kind
    targets = {"one_hot": np.eye(3, dtype=np.float32)[kind], "value": x[:, 1] * 2, "words": np.array(["a", "b"] * 45)}
    folders = {}
    for name, y in targets.items():
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        folders[name] = prepare_data("any", source=str(tmp_path / f"{name}.npz"), preprocess="none")
    assert score(folders["one_hot"], tmp_path, "val_accuracy", is_compiled=True).found[1].value > 0.9
    assert score(folders["value"], tmp_path, "val_mae", "minimize", is_compiled=True).found[1].value < 0.1
    assert "no plain column" in score(folders["words"], tmp_path, "val_accuracy", is_compiled=True).skipped


@pytest.fixture(scope="module")
def heads_data(numbers, prepare_data):
    """Prepared data with a regression and a class as heads."""
    return prepare_data(source=numbers, target=["y", "is_up"], drop=["z", "weight"], split={"test": 0.2})


def test_a_heads_metric_has_the_baselines_of_its_target(heads_data, numbers, prepare_data, tmp_path):
    """The objective of one head is scored as a study of its target alone would be, on the same rows."""
    found = score(heads_data, tmp_path, "val_is_up_auc")
    rows = load_part(heads_data, "train"), load_part(heads_data, "validation")
    x, y = (np.asarray(part.x["dense"]) for part in rows), (np.asarray(part.y["is_up"]) for part in rows)
    (x_train, x_validation), (y_train, y_validation) = x, y
    linear = LogisticRegression(max_iter=200).fit(x_train, y_train)
    expected = roc_auc_score(y_validation, linear.predict_proba(x_validation)[:, 1])
    constant, logistic = found.found
    assert (found.metric, constant.value) == ("val_is_up_auc", pytest.approx(0.5, abs=1e-3))
    assert logistic.value == pytest.approx(expected, abs=0.02)


def test_the_loss_of_all_heads_is_the_weighted_sum(heads_data, tmp_path):
    """Its baselines are those of each head's loss, times the weights of the heads."""
    heads = {"y": {"weight": 0.5}}
    whole = score(heads_data, tmp_path, "val_loss", "minimize", heads=heads)
    parts = [score(heads_data, tmp_path, f"val_{name}_loss", "minimize", heads=heads) for name in ("y", "is_up")]
    for place, label in enumerate(("a constant for each target", "a linear model for each target")):
        y, is_up = (part.found[place] for part in parts)
        assert whole.found[place].label == label
        assert whole.found[place].value == pytest.approx(0.5 * y.value + is_up.value)
        assert whole.found[place].test == pytest.approx(0.5 * y.test + is_up.test)
