"""Models of fleets on NumPy: the files that TensorFlow writes, and its scores."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from desk import SUMMARY
from fake_channel import FakeChannel

from pipelines.data.prepared import DataSummary, RawColumn
from pipelines.data.prepared_folder import load_raw
from pipelines.engines.base import Job
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import run_job
from pipelines.models.catalogue import ACTIVATIONS
from pipelines.models.raw_predict import predict_raw
from pipelines.selection.evaluation_files import locate_evaluation
from pipelines.selection.jobs import EVALUATE_WINNER, WinnerJob
from pipelines.selection.model_backend import choose_backend
from pipelines.selection.winner import evaluate_winner
from pipelines.spec.schema import TrainingSpec
from pipelines.study.load import load_study
from pipelines.training.artifacts import write_artifacts
from pipelines.training.jobs import WRITE_MODELS
from pipelines.training.messages import EpochDone, PastTrial, TrialJob, TrialResult
from pipelines.training.trial import build_trial
from pipelines.training.trial_folder import MODEL_FILE, TEST_FILE, WEIGHTS_FILE
from pipelines.training.weight_files import save_weights
from pipelines.training.write_models import write_models

PLAIN = {"depth": 2, "units": 5, "learning_rate": 0.01, "batch_size": 16, "epochs": 1}
RICH = {
    **PLAIN,
    **{"batch_normalization": True, "dropout": 0.2, "l1": 1e-5, "l2": 1e-4, "use_bias": False, "optimizer": "sgd"},
    **{"momentum": 0.9, "kernel_initializer": "orthogonal", "activation": "gelu"},
}
EVERY_ACTIVATION = {**PLAIN, "depth": len(ACTIVATIONS), "units": 4, "batch_normalization": True} | {
    f"activation_{layer}": name for layer, name in enumerate(ACTIVATIONS, 1)
}
OPTIMIZERS = ("lion", "ftrl")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A table of every kind of column that is a number to a model, an array, and pictures."""
    folder, random = tmp_path_factory.mktemp("sources"), np.random.default_rng(3)
    lines = ["size,flag,day,price,many,kind,other"]
    for row in range(120):
        size = "" if row % 9 == 0 else f"{random.normal():.4f}"
        price = f"{np.exp(random.normal(3, 3)):.3f}"
        many = " ".join(f"{value:.2f}" for value in random.normal(size=3))
        kind = "abc"[int(random.integers(3))]
        lines.append(f"{size},{row % 2 == 0},2024-{row % 12 + 1:02d}-03,{price},[{many}],{kind},{random.normal():.3f}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    np.savez(folder / "array.npz", x=random.normal(size=(120, 6)), y=random.integers(0, 2, 120))
    pictures = random.integers(0, 256, (90, 4, 4, 1)).astype("uint8")
    np.savez(folder / "pictures.npz", x=pictures, y=random.normal(size=90))
    return folder


@pytest.fixture(scope="module")
def engine():
    with closing(LocalEngine(1, user_code=False)) as engine:
        yield engine


def leave_weights(folder: Path, data: Path, values, per_layer=frozenset()) -> PastTrial:
    """Leave the files of a trial as a fleet does, with any weights."""
    job = TrialJob(
        "it", 7, values, per_layer, 11, "mlp", TrainingSpec(), str(data), str(folder), "val_loss", "minimize",
        frozenset(),
    )  # fmt: skip
    (folder / "artifacts").mkdir(parents=True)
    done = EpochDone(0, 1, 0, 0, {"loss": 1.0, "val_loss": 1.0})
    write_artifacts(job, 0, values, TrialResult("complete", 1.0, 0, done.metrics, (done,), 7, 1.0))
    random = np.random.default_rng(5)
    drawn = [
        random.uniform(0.5, 1.5, each.shape) if "variance" in each.path else random.normal(0.0, 0.5, each.shape)
        for each in build_trial(job, 0).model.weights
    ]
    save_weights([each.astype("float32") for each in drawn], folder / WEIGHTS_FILE)
    return PastTrial(str(folder), str(data))


def read_file(file: Path):
    """Return a model file's configuration and its weights; objects are numbered, where Keras has their addresses."""
    with zipfile.ZipFile(file) as parts:
        numbers = itertools.count()
        known: dict[str, str] = {}

        def number(found: re.Match[str]) -> str:
            return known.setdefault(found[0], f'"shared_object_id": {next(numbers)}')

        config = re.sub(r'"shared_object_id": \d+', number, parts.read("config.json").decode())
        weights = {}
        with h5py.File(io.BytesIO(parts.read("model.weights.h5"))) as stored:
            stored.visititems(
                lambda name, each: weights.update({name: each[()]}) if isinstance(each, h5py.Dataset) else None
            )
        return parts.namelist(), config, weights


def read_summary(folder: Path) -> str:
    """Return the summary of a trial's model without bytes: an optimizer's counter has eight on TensorFlow."""
    return re.sub(r" \([\d.]+ K?B\)", "", (folder / "artifacts" / "model_summary.txt").read_text())


def list_trials(folder: Path, prepare, sources: Path) -> list[PastTrial]:
    split = {"validation": 0.25, "test": 0.2, "seed": 1}
    source = {name: str(sources / f"{name}.npz") for name in ("array", "pictures")}
    table = str(sources / "table.csv")
    numbers = prepare(source=table, target="other", drop=["kind"], split=split)
    both = prepare(source=table, target=["other", "price"], drop=["kind"], split=split)
    classes = prepare(source=table, target="kind", split=split)
    array, pictures = (prepare(source=source[name], split=split) for name in ("array", "pictures"))
    cases = [
        *((data, RICH, frozenset()) for data in (numbers, both, classes, array, pictures)),
        (array, EVERY_ACTIVATION, frozenset({"activation"})),
        *((array, {**PLAIN, "optimizer": name}, frozenset()) for name in OPTIMIZERS),
    ]
    return [leave_weights(folder / str(index), *case) for index, case in enumerate(cases)]


@pytest.mark.long
def test_models_and_scores_are_those_of_tensorflow(prepare_data, sources, engine, tmp_path):
    """Configuration equal, weights equal to the last bit, predictions and scores equal but for rounding."""
    trials = list_trials(tmp_path / "tensorflow", prepare_data, sources)
    shutil.copytree(tmp_path / "tensorflow", tmp_path / "numpy")
    copies = [PastTrial(each.folder.replace("tensorflow", "numpy"), each.data) for each in trials]
    write_models(trials, FakeChannel())
    run_job(engine, Job("models", WRITE_MODELS, copies, tmp_path / "models.log", backend="numpy"))
    for one, other in zip(trials, copies, strict=True):
        names, config, weights = read_file(Path(one.folder) / MODEL_FILE)
        other_names, other_config, other_weights = read_file(Path(other.folder) / MODEL_FILE)
        assert (names, config, list(weights)) == (other_names, other_config, list(other_weights))
        for name, values in weights.items():
            # Which numbers dropout would draw is of no model that is written.
            if "seed_generator" not in name:
                assert (values.dtype, values.tobytes()) == (other_weights[name].dtype, other_weights[name].tobytes())
        assert read_summary(Path(one.folder)) == read_summary(Path(other.folder))
        raw = load_raw(Path(one.data), "test")
        loaded = [keras.models.load_model(Path(each.folder) / MODEL_FILE) for each in (one, other)]
        np.testing.assert_array_equal(*(predict_raw(model, raw) for model in loaded))
    for one, other in zip(trials[:6], copies[:6], strict=True):
        job = WinnerJob(one, 7, TrainingSpec(), ("test", "validation"))
        scores = evaluate_winner(job, FakeChannel())
        job = WinnerJob(other, 7, TrainingSpec(), ("test", "validation"))
        found = run_job(engine, Job("test", EVALUATE_WINNER, job, tmp_path / "test.log", backend="numpy"))
        assert list(found) == list(scores)
        assert found == pytest.approx(scores, rel=1e-4, abs=1e-5)
        assert json.loads((Path(other.folder) / TEST_FILE).read_text()) == found
        one_file, other_file = (locate_evaluation(Path(each.folder)) / "evaluation.json" for each in (one, other))
        assert_close(json.loads(one_file.read_text()), json.loads(other_file.read_text()))


def assert_close(one, other):
    """Compare two readings of JSON, numbers but for rounding."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_close(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_close(*pair)
    else:
        assert one == (pytest.approx(other, rel=1e-4, abs=1e-5) if isinstance(one, float) else other)


@pytest.fixture
def study(tmp_path):
    (tmp_path / "s.json").write_text(
        '{"study": "it", "data": {"source": "d.csv", "target": "y"}, "model": "mlp", "budget": {"trials": 1}}'
    )
    (tmp_path / "d.csv").write_text("x,y\n1,0\n")
    return load_study(tmp_path / "s.json")


def summary_of(*dtypes) -> DataSummary:
    raw = tuple(RawColumn(f"c{index}", "numeric", (), dtype) for index, dtype in enumerate(dtypes))
    return replace(SUMMARY, raw=raw)


def test_numpy_is_for_models_of_numbers_that_tensorflow_has_not_written(study, tmp_path):
    """Only TensorFlow has layers for text; a trial with a model of its own has loaded TensorFlow before."""
    fleet, alone = (PastTrial(str(tmp_path / name), "") for name in ("fleet", "alone"))
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / WEIGHTS_FILE).write_bytes(b"")
    assert choose_backend(study, summary_of("float32"), [fleet]) == "numpy"
    assert choose_backend(study, summary_of("float32", "string"), [fleet]) == "tensorflow"
    assert choose_backend(study, summary_of("float32"), [fleet, alone]) == "tensorflow"
