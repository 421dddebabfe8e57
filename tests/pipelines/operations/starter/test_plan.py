"""Model and space for features and rows."""

import pytest

from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.models.catalogue import find_family
from pipelines.models.feature_check import check_features, note_idle_parameters
from pipelines.operations.starter.plan import choose_plan

COLUMNS = Features(dense=3)
WORDS = Features(text=(("text_1", 20, 100),))
PICTURES = Features(image=(8, 8, 1))
SERIES = Features(series=(20, 2))
ALL = Features(dense=3, codes=(("city", 9),), image=(8, 8, 1), text=(("text_1", 20, 100),))


def summary(features, rows=700):
    parts = {"train": rows, "validation": rows // 5, "test": 0}
    return DataSummary("d.csv", Task("binary", ("y",), ("a", "b")), features, (), parts, 1, "d", {})


@pytest.mark.parametrize(
    ("features", "model"),
    [
        (COLUMNS, "mlp"),
        (Features(codes=(("city", 9),)), "mlp"),
        (WORDS, "text"),
        (Features(dense=3, text=(("text_1", 20, 100),)), "text"),
        (PICTURES, "cnn"),
        (SERIES, "series"),
        (ALL, "mixed"),
    ],
)
def test_the_model_takes_the_features(features, model):
    """The family reads every form of the data, and no hyperparameter is for a form that the data lacks."""
    plan = choose_plan(summary(features))
    assert plan.model == model
    check_features(find_family(model), features)
    assert note_idle_parameters(find_family(model), list(plan.space), features) == ()


@pytest.mark.parametrize(
    ("rows", "space"), [(50, "mlp-small"), (999, "mlp-small"), (1000, "mlp"), (20_000, "mlp-large")]
)
def test_the_space_suits_the_rows(rows, space):
    """Few rows get narrow networks, many rows wide ones; what a space extends is written in full."""
    plan = choose_plan(summary(COLUMNS, rows))
    assert plan.space_name == space
    assert {"depth", "units", "learning_rate", "epochs"} <= set(plan.space)
    assert "extends" not in plan.space


@pytest.mark.parametrize(
    ("rows", "batch_size"),
    [(700, {"choices": [8, 16, 32], "default": 16}), (100, {"choices": [8, 16], "default": 16}), (9, 8)],
)
def test_batches_leave_some_steps_an_epoch(rows, batch_size):
    """Batch sizes with less than five steps an epoch are left out; one is always left."""
    assert choose_plan(summary(COLUMNS, rows)).space["batch_size"] == batch_size
