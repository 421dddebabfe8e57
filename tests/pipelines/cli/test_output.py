"""Plain values on a terminal: JSON, tables, and pairs."""

import dataclasses
import json
import math
import sys
from dataclasses import replace

import pytest

from pipelines.cli import output
from pipelines.data.prepared import DataSummary, Features, RawColumn, Task
from pipelines.data.report import ColumnReport, DataReport, TargetReport
from pipelines.export.compare_models import ModelComparison
from pipelines.export.export import ExportResult, Parity
from pipelines.export.parity import Latency
from pipelines.operations.check import StudyCheck
from pipelines.operations.promote import PromotionResult
from pipelines.operations.replay.comparison import ItemComparison
from pipelines.operations.replay.replay import ReplayResult
from pipelines.queries.views import BestTrial, StudyRow, StudyView, TrialRow
from pipelines.search.space_evolution import Change
from pipelines.training.messages import ModelCheck
from pipelines.training.resource_use import ResourceUse

DONE = TrialRow(
    number=0,
    state="complete",
    values=(0.987654321,),
    params={"optimizer": "sgd", "nesterov": True, "learning_rate": 1e-4},
    best_epoch=3,
    seconds=75.0,
    reason="",
    metrics={"val_accuracy": 0.987654321},
    epochs=12,
)
FAILED = TrialRow(12, "failed", (), {"optimizer": "adam", "learning_rate": 0.5}, None, None, "loss, not finite", {})


def printed(capsys) -> list[str]:
    """Return the lines on standard output, without the blanks that fill the last column."""
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_trials_as_json(capsys):
    """JSON is a list of objects with number, state, values and active params, real booleans among them."""
    output.print_json([DONE, FAILED])
    read = json.loads(capsys.readouterr().out)
    known = {"number", "state", "values", "params", "best_epoch", "epochs", "seconds", "reason", "metrics"}
    assert set(read[0]) == {*known, "failed_attempts", "trainer", "resources"}
    assert (read[0]["values"], read[1]["values"]) == ([0.987654321], [])
    assert read[0]["params"] == {"optimizer": "sgd", "nesterov": True, "learning_rate": 1e-4}


def test_numbers_that_are_not_finite_are_null(capsys):
    """JSON has neither infinities nor NaN; the text of a number stays."""
    output.print_json([replace(DONE, metrics={"a": math.inf, "b": math.nan, "c": 1.5}), {"Infinity": [-math.inf]}])
    first, second = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (first["metrics"], second) == ({"a": None, "b": None, "c": 1.5}, {"Infinity": [None]})


def test_what_has_no_json_form_is_a_defect():
    """A value without a JSON form is a TypeError, and not printed as text."""
    with pytest.raises(TypeError, match="set has no JSON form"):
        output.print_json({"a": {1}})


def test_studies_as_a_table(capsys):
    """A study without a best trial has empty fields."""
    output.print_studies(
        [StudyRow("a", "finished", 2, 2, "val_auc", 0.5, 1), StudyRow("b", "queued", 0, 9, "", None, None)]
    )
    assert printed(capsys) == [
        "study  state     trials  metric   best  best trial",
        "a      finished  2/2     val_auc  0.5   t001",
        "b      queued    0/9",
    ]


def test_studies_of_other_hosts_have_a_column(capsys):
    """Where studies run elsewhere, the list has their hosts."""
    rows = [StudyRow("a", "running", 1, 2, "val_auc", 0.5, 1), StudyRow("b", "queued", 0, 9, "", None, None)]
    output.print_studies([dataclasses.replace(rows[0], host="host-b"), rows[1]])
    assert printed(capsys)[:2] == [
        "study  state    trials  metric   best  best trial  host",
        "a      running  1/2     val_auc  0.5   t001        host-b",
    ]


VIEW = StudyView(
    name="s",
    state="paused",
    reason="paused",
    model="mlp",
    source="d.csv",
    metric="val_loss",
    direction="minimize",
    budget=9,
    trials={"complete": 2, "failed": 1},
    failed_attempts=2,
    last_failed_attempt="trial 1: killed by SIGKILL",
    changes=(Change(("units: 4..8 is now 4..16",), 1, 2),),
    best=0.25,
    best_trial=1,
    best_params={"units": 8, "use_bias": False},
    seconds=75.0,
    waiting_for_mlflow=1,
    mlflow_error="no answer",
    tracking_uri="http://mlflow",
    folder="/home/studies/s",
)


def test_a_study_in_pairs(capsys):
    """State of a study: its state with the reason, trials by state, the best one's values, MLflow's backlog."""
    output.print_study(VIEW)
    assert printed(capsys) == [
        "study       s",
        "state       paused (paused)",
        "model       mlp",
        "data        d.csv",
        "objective   minimize val_loss",
        "trials      3 of 9: 2 complete, 1 failed",
        "attempts    2 failed, the last of trial 1: killed by SIGKILL",
        "change 1    units: 4..8 is now 4..16 (1 of 2 trials kept)",
        "best        0.25 (t001)",
        "  units     8",
        "  use_bias  false",
        "time        1m15s",
        "MLflow      http://mlflow: 1 record to go (no answer)",
        "files       /home/studies/s",
    ]


def test_a_study_whose_data_was_not_read_has_no_objective_yet(capsys):
    """A direction without a metric would look like a decision."""
    output.print_study(replace(VIEW, metric=""))
    assert "objective   chosen once the data has been read" in capsys.readouterr().out


def test_a_study_s_curve_and_cost(capsys):
    """The best score so far as a line, and what the best trial and all of them used, as far as it is known."""
    use = ResourceUse(75.0, 812_000_000)
    output.print_study(replace(VIEW, curve=(0.5, 0.4, 0.25), best_seconds=7.5, best_resources=use, resources=use))
    lines = printed(capsys)
    assert lines[9:11] == ["  progress  █▅▁ from 0.5", "  cost      7.5s, 1m15s of CPU, 812.0 MB at most"]
    assert "cost        1m15s of CPU, 812.0 MB at most in all trials" in lines


@pytest.mark.parametrize("width", [50, 80])
def test_pairs_on_a_terminal(capsys, monkeypatch, width):
    """Long values go on below their beginnings, in whole words; a path is never broken."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(width))
    path = "/home/" + "x" * 90
    output.print_study(replace(VIEW, notes=("so it is with many words " * 5,), folder=path))
    lines = printed(capsys)
    assert f"files       {path}" in lines
    assert lines[-1].startswith(" " * 12)
    assert max(len(line) for line in lines if path not in line) <= width


def test_the_best_trial_in_pairs(capsys):
    """The best trial: its score and epoch, its scores on the test rows, its values, its model."""
    output.print_best(BestTrial("s", DONE, "val_accuracy", "maximize", {"test_auc": 0.75}, "/m/model.keras"))
    assert printed(capsys) == [
        "study            s",
        "trial            t000",
        "val_accuracy     0.987654 at epoch 3",
        "test_auc         0.75",
        "  optimizer      sgd",
        "  nesterov       true",
        "  learning_rate  0.0001",
        "model            /m/model.keras",
    ]


def test_an_export_prints_its_verification(capsys):
    """Each file has a line with its difference from the Keras model, and the number of rows."""
    parity = Parity("keras", "model.keras", 57, 1.5e-7, 1.0, 2_500_000)
    output.print_export(ExportResult("s", 3, "out", (parity,), {"test_auc": 0.75}))
    assert printed(capsys) == [
        "s t003 -> out",
        "  model.keras: 2.50 MB, largest difference from the Keras model 1.5e-07 on 57 rows, decisions equal on 100.0%",
        "  test_auc 0.75",
    ]


def test_an_export_prints_score_and_latency(capsys):
    """A file's score is printed beside the Keras model's, then its latency, and the preprocessing before it."""
    parity = Parity(
        format="openvino",
        file="openvino",
        rows=57,
        largest_difference=1.5e-7,
        agreement=1.0,
        size_bytes=2_500_000,
        part="network",
        preprocessing_file="preprocessing.keras",
        metric="auc",
        score=0.75,
        keras_score=0.76,
        latency=(Latency(1, 0.5, 0.9), Latency(32, 1.25, 2.0)),
        note="a layer has no form: the file holds the network alone",
    )
    output.print_export(ExportResult("s", 3, "out", (parity,), {}))
    assert printed(capsys)[2:] == [
        "    auc 0.75 (Keras 0.76), 0.50 ms for 1 row, 1.25 ms for 32 rows",
        "    a layer has no form: the file holds the network alone; preprocessing.keras goes before it",
    ]


def checked(encodings, notes=(), largest=None) -> StudyCheck:
    small = ModelCheck(parameters=1234, memory_bytes=2_000_000, first_s=1.0, epoch_s=0.1, epochs=20)
    summary = DataSummary(
        source="d.csv",
        task=Task("multiclass", ("y",), ("a", "b", "c")),
        features=Features(dense=1),
        raw=tuple(RawColumn(name, "numeric", (), "float32") for name in encodings),
        rows={"train": 70, "validation": 20, "test": 10},
        folds=1,
        digest="d",
        encodings=encodings,
        notes=notes,
    )
    return StudyCheck(summary, small, largest or small)


def test_a_checked_study_shows_its_data(capsys):
    """Each column has its distinct and missing values; a classification the shares of its classes."""
    columns = (ColumnReport("age", "numeric", "every value", 5, 40),)
    report = DataReport({}, columns, (TargetReport("y", {"a": {"train": 3}, "b": {"train": 1}}),))
    known = checked({"age": "numeric: standardised"})
    output.print_check("s", replace(known, summary=replace(known.summary, report=report)))
    lines = printed(capsys)
    assert "          a 3 (75.0%), b 1 (25.0%)" in lines
    assert "          age  numeric: standardised; 40 values, 5.0% missing" in lines


def test_a_checked_study_lists_its_columns(capsys):
    """A few columns are listed, aligned; notes follow."""
    encodings = {"age": "numeric: standardised", "a column with a long name": "string: one-hot"}
    output.print_check(
        "s", replace(checked(encodings, ('column "id" is left out',)), space=("depth, units", "4 of them"))
    )
    assert printed(capsys) == [
        "study     s: ok",
        "rows      70 train, 20 validation, 10 test",
        "task      multiclass on y, 3 classes",
        "inputs    2",
        "          age                        numeric: standardised",
        "          a column with a long name  string: one-hot",
        "features  dense (1)",
        "space     depth, units",
        "          4 of them",
        "smallest  1,234 parameters, about 2.0 MB to train, about 3.0s for 20 epochs",
        "largest   1,234 parameters, about 2.0 MB to train, about 3.0s for 20 epochs",
        'notes     - column "id" is left out',
    ]


def test_many_columns_are_grouped(capsys):
    """Columns that are encoded alike share a line where there are many."""
    encodings = {**{f"n{number}": "numeric: standardised" for number in range(29)}, "city": "string: embedding"}
    output.print_check("s", checked(encodings))
    assert printed(capsys)[3:6] == [
        "inputs    30",
        "          29 numeric: standardised (n0, n1, n2 and 26 more)",
        "          1 string: embedding (city)",
    ]


def test_many_encodings_are_cut(capsys):
    """Columns that all differ do not fill the screen."""
    output.print_check("s", checked({f"c{number}": f"one-hot of {number}" for number in range(40)}))
    lines = printed(capsys)
    assert lines[15] == "          1 one-hot of 11 (c11)"
    assert lines[16] == "          and 28 more encodings"
    assert lines[17] == "features  dense (1)"


def test_a_refused_model_has_its_reason(capsys):
    """A model that the user's code does not build is listed with the reason."""
    output.print_check("s", checked({"a": "b"}, largest=ModelCheck(0, 0, 0.0, 0.0, 0, refused="too deep")))
    assert printed(capsys)[-1] == "largest   not tried: too deep"


def test_a_promotion(capsys):
    """Both models' metrics side by side, what a reader must know, and the decision."""
    compared = ModelComparison("test", 40, "loss", "minimize", {"loss": 0.25, "auc": 0.9}, {"loss": 0.5})
    done = PromotionResult("s", 3, "shop", "champion", True, "2", "version 1", compared, "it is", ("a note",))
    output.print_promotion(done)
    out, err = capsys.readouterr()
    assert [line.rstrip() for line in out.splitlines()] == [
        "s t003 against version 1, on 40 rows of the test part",
        "metric  s t003  version 1",
        "loss    0.25    0.5",
        "auc     0.9",
        "it is",
    ]
    assert err == "note: a note\n"
    output.print_promotion(replace(done, holder="", comparison=replace(compared, rival_scores={}), notes=()))
    assert printed(capsys)[:3] == ["s t003, on 40 rows of the test part", "metric  s t003", "loss    0.25"]
    output.print_promotion(replace(done, comparison=None, notes=()))
    assert printed(capsys) == ["it is"]


def replayed(*compared, agreement="equal", **changes):
    given = {"trainer": "graph", "trained_on": "data prepared anew from d.csv", "seconds": 7.5, "notes": ()}
    return ReplayResult(study="s", trial=3, agreement=agreement, compared=compared, **{**given, **changes})


def test_a_replay_prints_each_comparison(capsys):
    """A line for each comparison, in columns: equal, within rounding by how much, or different, and how."""
    output.print_replay(
        replayed(
            ItemComparison("result", "epochs", "equal", 5, 5),
            ItemComparison("result", "val_loss", "rounding", largest=3.14e-7, note="first in epoch 2, most in epoch 4"),
            ItemComparison("result", "score", "equal", 0.25, 0.25, 0.0),
            ItemComparison("result", "weights", "different", largest=0.5),
            ItemComparison("data", "digest", "different", "ab" * 32, "cd" * 32),
            ItemComparison("data", "values", "different", note="other values in line 5 (test)"),
            ItemComparison("code", "model.py", "different", "ab" * 32, None),
            ItemComparison("code", "kerastudy", "unknown", None, "ab" * 32, note="not recorded"),
            agreement="different",
        )
    )
    assert printed(capsys) == [
        "s t003 came out different",
        "trained again by graph, on data prepared anew from d.csv; 7.5s in all",
        "",
        "result",
        "  epochs     equal (5)",
        "  val_loss   within rounding (3.1e-07): first in epoch 2, most in epoch 4",
        "  score      equal to the last bit (0.25)",
        "  weights    different (0.5)",
        "",
        "data",
        "  digest     different: abababababab... then, cdcdcdcdcdcd... now",
        "  values     different: other values in line 5 (test)",
        "",
        "code",
        "  model.py   different: abababababab... then, nothing now",
        "  kerastudy  not recorded",
    ]


def test_a_replay_counts_the_versions_that_are_equal(capsys):
    """Of the environment, what differs has a line, and the rest one together."""
    same = [ItemComparison("environment", name, "equal", "1", "1") for name in ("keras", "optuna")]
    other = ItemComparison("environment", "numpy", "different", "1.26", "2.0")
    output.print_replay(replayed(*same, other, trainer="fleet", folder="kept", notes=("it was cut off",)))
    assert printed(capsys) == [
        "s t003 came out equal to the last bit",
        "trained again in a fleet, on data prepared anew from d.csv; 7.5s in all",
        "note: it was cut off",
        "files: kept",
        "",
        "environment",
        "  numpy   different: 1.26 then, 2.0 now",
        "  others  equal (2)",
    ]
    output.print_replay(replayed(*same, agreement="unknown"))
    assert [line for line in printed(capsys) if line.startswith(("s t003", "  all"))] == [
        "s t003 left nothing to compare",
        "  all     equal (2)",
    ]
