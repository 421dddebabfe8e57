"""Tables of trials: order, columns, and what fits a terminal."""

import csv
import sys
from dataclasses import replace
from io import StringIO

import pytest

from pipelines.cli import trial_tables
from pipelines.queries.views import TrialRow
from pipelines.training.resource_use import ResourceUse
from search_spaces.errors import InputError

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


def print_lines(capsys, *trials, columns=()):
    """Print a table; return its lines without the blanks that fill the last column, and the notes."""
    trial_tables.print_trials(trials, columns)
    shown = capsys.readouterr()
    return [line.rstrip() for line in shown.out.splitlines()], shown.err


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes standard output a terminal without colors, so many columns wide."""

    def make(width):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setenv("COLUMNS", str(width))

    return make


def test_trials_as_a_table(capsys):
    """A column for each hyperparameter that any trial has; inactive ones are empty, true reads as in YAML."""
    assert print_lines(capsys, DONE, FAILED)[0] == [
        "trial  state     value    epoch  epochs  time   optimizer  nesterov  learning_rate  reason",
        "t000   complete  0.98765  3      12      1m15s  sgd        true      0.0001",
        "t012   failed                                   adam                 0.5            loss, not finite",
    ]


def test_tables_in_a_pipe_are_never_cut(capsys, monkeypatch):
    """Without a terminal a table is as wide as it needs to be."""
    monkeypatch.setenv("COLUMNS", "40")
    assert print_lines(capsys, FAILED)[0][1].endswith("loss, not finite")


def test_what_trials_used(capsys):
    """CPU time and peak memory have columns where any trial's are known."""
    lines, _ = print_lines(capsys, replace(DONE, resources=ResourceUse(75.0, 812_000_000), params={}))
    assert lines == [
        "trial  state     value    epoch  epochs  time   cpu    memory",
        "t000   complete  0.98765  3      12      1m15s  1m15s  812.0 MB",
    ]


def test_constants_are_left_out(capsys):
    """A hyperparameter with one value in all trials is in a note, with its value."""
    lines, notes = print_lines(capsys, DONE, replace(DONE, number=1, params={**DONE.params, "learning_rate": 0.5}))
    assert lines[0] == "trial  state     value    epoch  epochs  time   learning_rate"
    assert notes == "note: the same in all 2 trials: optimizer sgd, nesterov true\n"


@pytest.mark.parametrize("width", [30, 40, 50, 80, 120])
def test_a_table_fits_its_terminal(capsys, terminal, width):
    """No line is longer than the terminal, and a note names every column without room."""
    terminal(width)
    lines, notes = print_lines(capsys, DONE, FAILED)
    assert max(map(len, lines)) <= width
    missing = {"epoch", "epochs", "time", "optimizer", "nesterov", "learning_rate"} - set(lines[0].split())
    assert all(name in notes for name in missing)


def test_failures_keep_their_reasons(capsys, terminal):
    """A reason is cut before hyperparameters leave, and stays where a trial failed."""
    terminal(50)
    lines, notes = print_lines(capsys, DONE, replace(FAILED, reason="the loss is not finite after epoch 3"))
    assert lines[2].endswith("…")
    assert "the loss is not" in lines[2]
    assert "reason" not in notes


def test_chosen_columns(capsys):
    """Exactly the named columns are printed, metrics among them, even constants."""
    columns = trial_tables.find_columns([DONE], ["val_accuracy", "trial", "optimizer"], "--columns")
    assert print_lines(capsys, DONE, columns=columns)[0] == [
        "val_accuracy  trial  optimizer",
        "0.98765       t000   sgd",
    ]


def test_an_unknown_column_is_refused():
    """The error has the option and the nearest name."""
    with pytest.raises(InputError, match='--sort: there is no column "nesterow"; did you mean "nesterov"'):
        trial_tables.order_trials([DONE], "nesterow", None, "")


@pytest.mark.parametrize(
    ("key", "direction", "expected"),
    [
        ("value", "minimize", [2, 1, 3, 0]),
        ("value", "maximize", [1, 2, 3, 0]),
        ("-value", "minimize", [1, 2, 3, 0]),
        ("time", "", [3, 1, 2, 0]),
        ("-time", "", [2, 1, 3, 0]),
        ("trial", "", [0, 1, 2, 3]),
        ("optimizer", "", [2, 1, 0, 3]),
    ],
)
def test_orders(key, direction, expected):
    """By value the best complete trial comes first; without a value a trial is last, whatever the order."""
    trials = [
        replace(FAILED, number=0, params={"optimizer": "sgd"}),
        replace(DONE, number=1, values=(0.5,), seconds=2.0, params={"optimizer": "rmsprop"}),
        replace(DONE, number=2, values=(0.25,), seconds=3.0, params={"optimizer": "adam"}),
        replace(DONE, number=3, state="pruned", values=(0.4,), seconds=1.0, params={}),
    ]
    ordered = trial_tables.order_trials(trials, key, None, direction)
    assert [trial.number for trial in ordered] == expected
    assert trial_tables.order_trials(trials, key, 2, direction) == ordered[:2]


def test_several_objectives(capsys):
    """Each objective has a column, and `value` orders by the first."""
    trials = [replace(DONE, number=0, values=(2.0, 5.0)), replace(DONE, number=1, values=(1.0, 7.0))]
    ordered = trial_tables.order_trials(trials, "value", None, "minimize")
    assert print_lines(capsys, *ordered)[0][1].startswith("t001   complete  1         7")


def test_trials_as_csv(capsys):
    """CSV keeps full precision, empty fields for what is inactive, and quotes where they are needed."""
    trial_tables.print_csv([replace(DONE, resources=ResourceUse(cpu_s=12.5)), FAILED])
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert rows[0] == {
        "number": "0",
        "state": "complete",
        "value": "0.987654321",
        "best_epoch": "3",
        "epochs": "12",
        "seconds": "75.0",
        "cpu_s": "12.5",
        "peak_memory_bytes": "",
        "params_optimizer": "sgd",
        "params_nesterov": "true",
        "params_learning_rate": "0.0001",
        "reason": "",
    }
    assert (rows[1]["value"], rows[1]["params_nesterov"], rows[1]["reason"]) == ("", "", "loss, not finite")
