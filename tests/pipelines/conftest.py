"""An open store in a temporary home, and prepared data of each kind."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import kerastudy, kerastudy_here
from session_folder import make_once
from small_studies import STORED_STUDY, write_mixed_csv

from pipelines.study.load import load_study
from pipelines.study.stored import serialize_study
from pipelines.workspace.home import Home
from tracking.store.connections import FILE_NAME
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue


@pytest.fixture(scope="session")
def _empty_database(tmp_path_factory):
    """Make a database with all tables once: making them takes longer than most tests."""
    home = tmp_path_factory.mktemp("empty")
    with Store.open(home) as store:
        store.open_optuna_storage().engine.dispose()
    return home / FILE_NAME


@pytest.fixture
def store(tmp_path, _empty_database):
    """An empty store below `tmp_path`/home."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(_empty_database, home / FILE_NAME)
    with Store.open(home) as opened:
        yield opened


@dataclass(frozen=True)
class FinishedStudy:
    """A study of three trials that was run in two goes; read it, and leave it as it is."""

    file: Path
    home: Path
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Breast cancer with a small network: two trials through the real command, then one more in this process."""
    folder = make_once(tmp_path_factory, "finished", _run_study)
    first, second = pickle.loads((folder / "completed").read_bytes())
    return FinishedStudy(folder / "study" / "cancer.yaml", folder / "study" / "home", first, second)


def _run_study(folder):
    (folder / "study").mkdir()
    file = folder / "study" / "cancer.yaml"
    file.write_text(
        "study: cancer\n"
        "data: {source: 'sklearn:breast_cancer'}\n"
        "model: mlp\n"
        "space:\n"
        "  depth: 1\n"
        "  units: [8, 16]\n"
        "  batch_normalization: [true, false]\n"
        "  optimizer: [sgd, adam]\n"
        "  momentum: {type: float, low: 0.0, high: 0.9, when: {optimizer: sgd}}\n"
        "  batch_size: 64\n"
        "  epochs: 2\n"
        "search: {seed: 1}\n"
        "resources: {workers: 2, fleet: off}\n"
    )
    run = ("--home", "home", "run", file.name, "--trials")
    # Nothing is kept, so that nothing may stay in the temporary folder.
    first = kerastudy(*run, "2", cwd=file.parent, TMPDIR=str(file.parent), KERASTUDY_WARM_SECONDS="0")
    second = kerastudy_here(*run, "3", cwd=file.parent)
    (folder / "completed").write_bytes(pickle.dumps((first, second)))


@pytest.fixture(scope="session")
def prepare_data(tmp_path_factory):
    """Return a function that prepares the data of a study file's `data` section and returns its folder."""
    base = tmp_path_factory.mktemp("sources")
    write_mixed_csv(base / "mixed.csv")

    def make(prefers="dense", **data):
        from pipelines.data.prepare import prepare  # loads TensorFlow, which tests of the supervisor do without
        from pipelines.spec.data_spec import DataSpec

        folder = tmp_path_factory.mktemp("prepared") / "data"
        prepare(DataSpec.model_validate(data), base, folder, prefers)
        return folder

    return make


@pytest.fixture(scope="session")
def mixed_data(prepare_data):
    """Prepared data with numbers, text, gaps and odd names; what it predicts can be learned."""
    return prepare_data(source="mixed.csv", target="bought", split={"validation": 0.25, "test": 0.2, "seed": 1})


@pytest.fixture
def home(store, tmp_path):
    """A home that holds a submitted study with prepared data, without trials."""
    (tmp_path / "d.csv").write_text("a,y\n1,0\n")
    (tmp_path / "s.yaml").write_text(STORED_STUDY)
    made = Home(tmp_path / "home", str(tmp_path / "home"))
    made.locate_data("s").mkdir(parents=True)
    (made.locate_data("s") / "summary.json").write_text(json.dumps({"task": {"kind": "binary"}}))
    study = load_study(tmp_path / "s.yaml")
    StudyQueue(store).enqueue(
        "s", serialize_study(study), study.compute_fingerprint().with_data("d").format(), folder=tmp_path
    )
    return made


@pytest.fixture
def study(home, tmp_path):
    return load_study(tmp_path / "s.yaml")
