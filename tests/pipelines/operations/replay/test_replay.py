"""Trials trained again by real workers, and compared with the records of real studies."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from desk import FakeDelivery
from small_studies import study_of, write_mixed_csv

from pipelines.engines.local_engine import LocalEngine
from pipelines.operations.check import check_study
from pipelines.operations.replay.replay import replay
from pipelines.operations.submit import enqueue
from pipelines.supervisor.supervisor import Supervisor
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, UnknownError
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store

HEAD = "study: {name}\ndata: {{source: mixed.csv, target: bought, split: {{validation: 0.25, test: 0.2, seed: 1}}}}\n"
TAIL = "search: {sampler: random, pruner: median, startup_trials: 2, seed: 3}\n"
FAMILY = (
    HEAD.format(name="family")
    + """
model: mlp
space:
  depth: 1
  units: 4
  dropout: 0.2
  learning_rate: [0.05, 30.0, 1.0e+20]
  optimizer: sgd
  batch_size: 16
  epochs: 4
  start_from: [{learning_rate: 0.05}, {learning_rate: 30.0}, {learning_rate: 1.0e+20}]
objective: {metric: val_loss}
budget: {trials: 3}
resources: {workers: 1, fleet: off}
limits: {attempts: 1}
"""
    + TAIL
)
OWN = (
    HEAD.format(name="own")
    + """
model: model.py:build
space: {steps: [stepped, plain], epochs: 2, start_from: [{steps: stepped}, {steps: plain}]}
objective: {metric: val_loss}
budget: {trials: 2}
resources: {workers: 1}
"""
    + TAIL
)
FLEET = (
    HEAD.format(name="together")
    + """
model: mlp
space: {depth: 1, units: [4, 6], dropout: 0.2, learning_rate: 0.01, batch_size: 16, epochs: 2}
objective: {metric: val_loss}
budget: {trials: 2}
resources: {workers: 1, fleet: 2}
"""
    + TAIL
)
CODE = """
import keras


class Stepped(keras.Sequential):
    def train_step(self, *given):
        return super().train_step(*given)


def build(hp):
    made = Stepped if hp.Choice("steps", ["stepped", "plain"]) == "stepped" else keras.Sequential
    model = made([keras.layers.Dense(hp.Int("units", 3, 5), "relu"), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model
"""
RESULT = {"state", "epochs", "loss", "val_loss", "best epoch", "score", "weights"}


def run(text: str, base: Path, home: Home, engine: LocalEngine) -> None:
    """Run a study to its end, as the command does, without MLflow."""
    study = study_of(text, base)
    checked = check_study(study, home.locate_study(study.name), engine)
    with Store.open(home.store) as store:
        enqueue(study, checked.summary, store)
        for _ in Supervisor(study, checked.summary, home, store, engine, FakeDelivery(Outbox(store))).run():
            pass


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of the study files."""
    folder = tmp_path_factory.mktemp("base")
    write_mixed_csv(folder / "mixed.csv")
    (folder / "model.py").write_text(CODE)
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """An empty home, and an engine for its studies."""
    folder = tmp_path_factory.mktemp("home")
    with closing(LocalEngine(1)) as engine:
        yield Home(folder, str(folder)), engine


@pytest.fixture(scope="module")
def family(begun, base):
    """The home with a study of a family, trained in a graph: a trial each that is complete, pruned and failed."""
    run(FAMILY, base, *begun)
    return begun[0]


@pytest.fixture(scope="module")
def own(begun, base):
    """The home with a study of a user model: a trial by its training steps, and one in a graph."""
    run(OWN, base, *begun)
    return begun[0]


@pytest.fixture(scope="module")
def together(begun, base):
    """The home with a study whose two trials trained in one fleet."""
    run(FLEET, base, *begun)
    return begun[0]


@pytest.fixture
def copied(family, tmp_path):
    """A copy of the home with the family's study, to be changed at will."""
    shutil.copytree(family.folder, tmp_path / "home")
    return Home(tmp_path / "home", str(tmp_path / "home"))


@pytest.fixture
def source(base):
    """The source of every study, as it was again after the test."""
    file = base / "mixed.csv"
    before = file.read_bytes()
    yield file
    file.write_bytes(before)


def compared(replayed, topic="result"):
    return {each.name: each for each in replayed.compared if each.topic == topic}


def agreements(replayed, topic="result"):
    return {name: each.agreement for name, each in compared(replayed, topic).items()}


def files_in(home: Home) -> dict[str, str]:
    """Return a digest of each file of a home but SQLite's own beside the database."""
    files = (file for file in home.folder.rglob("*") if file.is_file() and not re.search(r"-(wal|shm)$", file.name))
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


# What comes out equal ----------------------------------------------------------------------------------------


def test_a_trial_comes_out_equal_and_nothing_is_written(family):
    """Data, training and weights are those of the trial to the last bit; the home stays as it was."""
    before = files_in(family)
    replayed = replay(family, "family", 0)
    assert (replayed.agreement, replayed.trainer) == ("equal", "graph")
    assert set(agreements(replayed)) >= RESULT
    assert set(agreements(replayed).values()) == {"equal"}
    assert set(agreements(replayed, "trial").values()) == {"equal"}
    assert set(agreements(replayed, "data").values()) == {"equal"}
    assert set(agreements(replayed, "environment").values()) == {"equal"}
    assert agreements(replayed, "code") == {"kerastudy": "equal"}
    assert replayed.trained_on == "data prepared anew from mixed.csv"
    assert files_in(family) == before


def test_a_pruned_trial_trains_as_long_as_it_had(family):
    """It is stopped after the same epoch, though nothing prunes now."""
    replayed = replay(family, "family", 1)
    assert compared(replayed)["state"].now == "pruned"
    assert compared(replayed)["epochs"].now == 3
    assert "weights" not in agreements(replayed)
    assert set(agreements(replayed).values()) == {"equal"}


@pytest.mark.slow
def test_a_failed_trial_fails_again(family):
    """The same failure again is equal; its reason is compared."""
    replayed = replay(family, "family", 2)
    assert (replayed.agreement, compared(replayed)["state"].now) == ("equal", "failed")
    assert compared(replayed)["reason"].now == "loss became nan in epoch 1"


@pytest.mark.slow
def test_own_steps_are_trained_by_themselves_again(own):
    """A user model is built with its values, also those that only its code requests."""
    replayed = replay(own, "own", 0)
    assert (replayed.agreement, replayed.trainer) == ("equal", "user")
    assert set(compared(replayed, "trial")["values"].now) == {"steps", "units", "epochs"}
    assert set(agreements(replayed, "trial").values()) == {"equal"}
    assert agreements(replayed, "code") == {"model.py": "equal", "kerastudy": "equal"}


@pytest.mark.slow
def test_a_trial_of_a_fleet_trains_in_a_fleet_again(together):
    """It trains alone in the program that it shared, and gives the same bits, dropout included."""
    replayed = replay(together, "together", 1)
    assert (replayed.agreement, replayed.trainer) == ("equal", "fleet")
    assert {"weights", "score", "val_loss"} <= set(agreements(replayed))


# What differs ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_trainer_is_within_rounding(copied):
    """A trial that `fit` trained, by its record, is trained by `fit`, and compared with the tolerance of the two."""
    with sqlite3.connect(copied.folder / "kerastudy.db") as database:
        written = "UPDATE trial_user_attributes SET value_json = replace(value_json, '\"graph\"', '\"fit\"')"
        assert database.execute(f"{written} WHERE key = 'kerastudy:result'").rowcount
    replayed = replay(copied, "family", 0)
    assert replayed.trainer == "fit"
    assert replayed.agreement in ("equal", "rounding")


def test_another_result_and_another_package_are_reported(copied):
    """Another epoch counts, with its difference; another version is reported and does not count."""
    file = copied.locate_trial("family", 0) / "result.json"
    result = json.loads(file.read_text())
    result["epochs"][1]["metrics"]["val_loss"] += 0.5
    file.write_text(json.dumps(result))
    versions = copied.locate_report("family") / "environment.json"
    versions.write_text(json.dumps(json.loads(versions.read_text()) | {"numpy": "0.1", "gone": "1.0"}))
    replayed = replay(copied, "family", 0)
    curve, environment = compared(replayed)["val_loss"], compared(replayed, "environment")
    assert replayed.agreement == "different"
    assert (curve.largest, curve.note) == (pytest.approx(0.5), "first in epoch 2, most in epoch 2")
    assert [name for name, agreement in agreements(replayed).items() if agreement != "equal"] == ["val_loss"]
    assert (environment["numpy"].agreement, environment["numpy"].recorded) == ("different", "0.1")
    assert (environment["gone"].agreement, environment["gone"].now) == ("different", None)


@pytest.mark.slow
def test_a_trial_keeps_its_own_seed(copied):
    """A trial is trained with the seed that it had, and a note reports the study's other one."""
    with sqlite3.connect(copied.folder / "kerastudy.db") as database:
        written = "UPDATE kerastudy_studies SET document = replace(document, '\"seed\": 3', '\"seed\": 4')"
        assert database.execute(f"{written} WHERE name = 'family'").rowcount
    replayed = replay(copied, "family", 0)
    assert compared(replayed, "trial")["seed"].agreement == "different"
    assert replayed.agreement == "equal"


def test_a_changed_row_is_named_and_the_copy_is_trained_on(family, source):
    """The digest differs, the row is named, and the training is that of the study's own prepared data."""
    split = (family.locate_report("family") / "split.csv").read_text()
    line = int(re.search(r"line (\d+),validation", split)[1])
    lines = source.read_text().splitlines()
    lines[line - 1] = re.sub(r"^[^,]*,[^,]*", "99,7.5", lines[line - 1])
    source.write_text("\n".join(lines) + "\n")
    replayed = replay(family, "family", 0)
    data = compared(replayed, "data")
    assert data["digest"].agreement == "different"
    assert data["values"].note == f"other values in line {line} (validation)"
    assert replayed.trained_on == "the study's own copy, since mixed.csv has changed"
    assert replayed.agreement == "equal"


@pytest.mark.slow
def test_a_missing_source_is_reported(copied, source, tmp_path):
    """The study's own prepared data is trained on; where that is gone too, nothing can be."""
    source.unlink()
    replayed = replay(copied, "family", 0)
    assert "there is no file or folder mixed.csv" in compared(replayed, "data")["source"].note
    assert replayed.trained_on == "the study's own copy, since its source cannot be prepared"
    assert replayed.agreement == "equal"
    shutil.rmtree(copied.locate_data("family"))
    with pytest.raises(ConflictError, match="the data that the study prepared is gone from"):
        replay(copied, "family", 0)


@pytest.mark.slow
def test_changed_code_is_reported(own, base, tmp_path):
    """The file of a model is compared by its digest, and by the study's fingerprint if an older version wrote none."""
    shutil.copytree(own.folder, tmp_path / "home")
    home = Home(tmp_path / "home", str(tmp_path / "home"))
    (base / "model.py").write_text(CODE + "# more\n")
    try:
        replayed = replay(home, "own", 1)
        (home.locate_report("own") / "code.json").unlink()
        older = replay(home, "own", 1)
    finally:
        (base / "model.py").write_text(CODE)
    assert agreements(replayed, "code") == {"model.py": "different", "kerastudy": "equal"}
    assert agreements(older, "code") == {"model.py": "different", "kerastudy": "unknown"}
    assert (replayed.agreement, replayed.trainer) == ("equal", "graph")


# What is kept, and what is refused ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_files_are_kept_on_request(family, tmp_path):
    """The folder holds what a trial leaves, and the comparison; another replay does not replace it."""
    replayed = replay(family, "family", 1, tmp_path / "kept")
    written = json.loads((tmp_path / "kept" / "replay.json").read_text())
    assert (written["agreement"], written["folder"]) == (replayed.agreement, str(tmp_path / "kept"))
    assert (tmp_path / "kept" / "artifacts" / "history.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(InputError, match="exists already"):
        replay(family, "family", 1, tmp_path / "kept")


def test_unknown_trials_and_studies_are_refused(family):
    """The error names the existing trials, or the nearest study."""
    with pytest.raises(UnknownError, match="family has no trial 7; its trials are 0 to 2"):
        replay(family, "family", 7)
    with pytest.raises(UnknownError, match='did you mean "family"'):
        replay(family, "famliy", 0)


def test_a_trial_that_has_not_ended_is_refused(copied):
    """A trial that is still running has nothing to compare with."""
    with sqlite3.connect(copied.folder / "kerastudy.db") as database:
        database.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 0")
    with pytest.raises(
        ConflictError, match="trial 0 of family is running: expected one that is complete, pruned, failed"
    ):
        replay(copied, "family", 0)
