"""Where a pydantic location or a dotted path points in a study file."""

import pytest
from pydantic import ValidationError

from pipelines.spec.error_messages import list_spec_problems, split_keys
from pipelines.spec.schema import StudySpec
from search_spaces.yaml_document import make_document


@pytest.mark.parametrize(
    ("dotted", "keys"),
    [
        ("data.target", ("data", "target")),
        ("data.columns.a.b.type", ("data", "columns", "a.b", "type")),
        ("data.columns.a.type", ("data", "columns", "a", "type")),
        ("training.metrics[1]", ("training", "metrics", 1)),
        ("training.metrics.1", ("training", "metrics", 1)),
        ("space.units.high", ("space", "units", "high")),
        ("", ()),
    ],
)
def test_dotted_paths_are_taken_apart(dotted, keys):
    """Dots part keys, except inside a key that holds dots itself; numbers count in lists."""
    data = {"data": {"columns": {"a": {}, "a.b": {}}}, "training": {"metrics": ["auc", "f1_score"]}}
    assert split_keys(data, dotted) == keys


def found(**keys) -> list[tuple[str, str]]:
    document = make_document({"study": "s", "data": {"source": "d.csv"}, "model": "mlp", **keys})
    with pytest.raises(ValidationError) as refused:
        StudySpec.model_validate(document.data)
    return [(problem.path, problem.message) for problem in list_spec_problems(document, refused.value)]


def test_a_union_is_told_once():
    """Of the members of a union that did not fit, only the one that was meant speaks."""
    assert found(training={"class_weight": {"a": "x"}}) == [
        ("training.class_weight.a", 'expected a number, got the text "x"')
    ]
    assert [path for path, _ in found(training={"class_weight": []})] == ["training.class_weight"]


def test_every_key_is_told():
    """Different keys do not hide each other, nor does a section hide its other keys."""
    paths = [path for path, _ in found(budget={"trials": 0, "time": "x"}, search={"seed": -1}, limits=3)]
    assert sorted(paths) == ["budget.time", "budget.trials", "limits", "search.seed"]


def test_names_of_keras_tuner_are_translated():
    """An argument of KerasTuner's tuners, or of pandas's readers, is refused with its key in a study file."""
    assert found(search={"executions_per_trial": 2}, budget={"max_trials": 3}) == [
        (
            "search.executions_per_trial",
            'unknown key "executions_per_trial"; KerasTuner\'s executions_per_trial is training.seeds here',
        ),
        ("budget.max_trials", 'unknown key "max_trials"; KerasTuner\'s max_trials is budget.trials here'),
    ]
    assert found(data={"source": "d.csv", "delimiter": ";"}) == [
        ("data.delimiter", 'unknown key "delimiter"; delimiter is data.sep here')
    ]


def test_what_is_not_known_to_us_is_told_in_pydantics_words(monkeypatch):
    """A kind of error without a message of ours still reports what was expected and got."""
    monkeypatch.setattr("pipelines.spec.error_messages._EXPECTED", {})
    assert found(budget={"trials": "x"}) == [("budget.trials", 'expected a valid integer, got the text "x"')]
