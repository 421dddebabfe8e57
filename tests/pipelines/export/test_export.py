"""Exported models: verified, from raw columns, without kerastudy, and never half written."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_trials import origin_of, train_one, trained_home
from fake_channel import FakeChannel
from inline_engine import InlineEngine
from weights_alone import leave_weights_alone

from pipelines.data.prepared_folder import load_raw, load_summary
from pipelines.engines.base import Job
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import JobError, run_job
from pipelines.export import parity as parity_module
from pipelines.export.base import OutputTensor, WrittenFile
from pipelines.export.compare_models import ComparisonJob, compare_models
from pipelines.export.export import FORMATS, ExportError, ExportSource, export_trial
from pipelines.export.verify import Expected, VerificationJob, WrittenModel
from pipelines.models.raw_predict import predict_raw
from pipelines.training.messages import PastTrial
from search_spaces.errors import InputError

ODD = {  # rows that training never saw: gaps, and a city of another country
    "age": [40.0, math.nan, 25.0],
    "a_b": [0.5, 0.1, math.nan],
    "x_y": [1.0, math.nan, 3.0],
    "dense": [0.0, 1.0, 1.0],
    "city": ["Rome", "", "Atlantis"],
}
# All formats for the table; for the others those that convert them in a way of their own.
WRITTEN = {
    "table": list(FORMATS),
    "images": ["keras", "litert_int8", "onnx"],
    "own": ["keras", "keras_int8", "litert"],
}
PAIRS = [(study, name) for study, names in WRITTEN.items() for name in names]
EXACT = {"keras": 1e-6, "saved_model": 1e-6, "litert": 1e-5, "onnx": 1e-5, "openvino": 1e-5}


@pytest.fixture(scope="module", autouse=True)
def _few_calls():
    """Time a few calls only: what they take is nothing that a test can hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity_module, "_FEWEST_CALLS", 3)
        patch.setattr(parity_module, "_CALLS_S", 0.0)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory, mixed_data, prepare_data):
    """A home with a trial of a table, one of images, and one of a study's own model."""
    return trained_home(tmp_path_factory.mktemp("trained"), mixed_data, prepare_data)


@pytest.fixture(scope="module")
def exported(home, tmp_path_factory):
    """The trials in their formats: a folder for each, and the comparison of each file."""
    target = tmp_path_factory.mktemp("exported")
    parities = {
        study: export_trial(
            ExportSource.from_home(home, study, 0), names, target / study, InlineEngine(), origin_of(study)
        )
        for study, names in WRITTEN.items()
    }
    return target, parities


def find_parity(exported, study, name):
    """Return the comparison of one file, and its folder."""
    (parity,) = (each for each in exported[1][study] if each.format == name)
    return parity, exported[0] / study


@pytest.mark.parametrize("study", list(WRITTEN))
def test_a_trial_is_compared_with_another_model(home, study):
    """A model of any kind is scored on the held-out rows: as good as itself, and not comparable with another kind."""
    trial = PastTrial(str(home.locate_trial(study, 0)), str(home.locate_data(study)))
    other = "images" if study != "images" else "table"
    own, others = (str(home.locate_trial(each, 0) / "model.keras") for each in (study, other))
    alike = compare_models(ComparisonJob(trial, None, own), FakeChannel())
    assert (alike.scores, alike.is_as_good, alike.incompatibility) == (alike.rival_scores, True, "")
    assert alike.metric in alike.scores and alike.rows == load_summary(home.locate_data(study)).rows[alike.part]
    apart = compare_models(ComparisonJob(trial, own, others), FakeChannel())
    assert (apart.scores, apart.rival_scores, apart.is_as_good) == (alike.scores, {}, False)
    assert apart.incompatibility.startswith("it takes ")


def make_odd_rows(home):
    """Return the odd rows by the names that the model has for its inputs."""
    names = {column.column: column.name for column in load_summary(home.locate_data("table")).raw}
    given = {"age": ODD["age"], "a b": ODD["a_b"], "x/y": ODD["x_y"], "dense": ODD["dense"], "city": ODD["city"]}
    rows = {names[column]: values for column, values in given.items()}
    rows[names["\u00e9"]] = [0.2, 0.4, math.nan]
    return {
        name: np.array(values, dtype=object) if isinstance(values[0], str) else np.array(values, np.float32)
        for name, values in rows.items()
    }


@pytest.mark.parametrize(("study", "name"), PAIRS)
def test_every_format_is_verified(exported, home, study, name):
    """Each format's file is there, was compared on every held-out row, scored and timed."""
    parity, folder = find_parity(exported, study, name)
    assert (folder / parity.file).exists()
    assert parity.rows == load_summary(home.locate_data(study)).rows["test"]
    assert parity.size_bytes > 1000
    assert parity.largest_difference <= EXACT.get(name, 0.2)
    assert parity.agreement >= (1.0 if name in EXACT else 1 - 1 / parity.rows)
    assert parity.metric == "loss"
    assert parity.score == pytest.approx(parity.keras_score, rel=1e-4 if name in EXACT else 0.2)
    assert [latency.batch for latency in parity.latency] == [1, 32]
    assert all(0 < latency.median_ms <= latency.p99_ms for latency in parity.latency)
    assert (parity.part == "network") == bool(parity.preprocessing_file)
    assert bool(parity.note) == (parity.part == "network" or (folder / parity.file / "load_model.py").exists())
    assert not parity.preprocessing_file or (folder / parity.preprocessing_file).exists()


@pytest.mark.parametrize("study", WRITTEN)
def test_the_comparisons_are_written_down(exported, study):
    """`parity.json` has a file's comparison each, and nothing is left beside the target."""
    target, parities = exported
    written = json.loads((target / study / "parity.json").read_text())
    assert written == json.loads(json.dumps([asdict(parity) for parity in parities[study]]))
    assert [parity.format for parity in parities[study]] == WRITTEN[study]
    assert sorted(file.name for file in target.iterdir()) == sorted(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN["table"])
def test_the_formats_agree_on_rows_unlike_any_seen(exported, home, name):
    """Gaps and a category that training never saw give the Keras model's prediction in every format."""
    parity, folder = find_parity(exported, "table", name)
    raw = make_odd_rows(home)
    expected = predict_raw(keras.models.load_model(home.locate_trial("table", 0) / "model.keras"), raw)
    assert np.isfinite(expected).all()
    assert expected.shape == (3, 1)
    [got] = FORMATS[name].load(folder, WrittenFile(parity.file, parity.part, parity.preprocessing_file))(raw)
    np.testing.assert_allclose(got, expected, atol=EXACT.get(name, 0.2))


def test_the_preprocessing_stays_with_the_network_where_the_format_can_hold_it(exported):
    """LiteRT and ONNX hold the whole preprocessing, lookups of words included; OpenVINO's note names the layer."""
    for name in ("litert", "litert_dynamic", "onnx"):
        assert find_parity(exported, "table", name)[0].part == "model"
    for name in ("litert_float16", "litert_int8"):
        assert find_parity(exported, "table", name)[0].preprocessing_file == "preprocessing.tflite"
    openvino, folder = find_parity(exported, "table", "openvino")
    assert openvino.preprocessing_file == "preprocessing.keras"
    assert "(StringLookup) has no OpenVINO form" in openvino.note
    assert openvino.note in (folder / "README.md").read_text()


def test_the_card_describes_the_model(exported, home):
    """The card names data, digest, split, space, budget, score, importances, limits, environment and every file."""
    card = (exported[0] / "table" / "README.md").read_text()
    for fact in (
        load_summary(home.locate_data("table")).digest, "20% validation, 10% test, seed 1", "type int, low 4, high 8",
        "3 trials", "the winner", "test_loss 0.6", "| `units` | 75.0% |", "## Limits", f"Keras {keras.__version__}",
        "minimize `val_loss`", "`city`",
    ):  # fmt: skip
        assert fact in card
    for parity in exported[1]["table"]:
        assert f"| {parity.format} | `{parity.file}`" in card
    assert (exported[0] / "table" / "study.json").read_text() == origin_of("table").document


def test_requirements_are_what_the_files_need(exported):
    """`requirements.txt` has exact versions of what loads the files, and nothing that only writes them."""
    lines = (exported[0] / "table" / "requirements.txt").read_text().split()
    assert f"tensorflow=={tf.__version__}" in lines
    assert [line.split("==")[0] for line in lines] == ["keras", "numpy", "onnxruntime", "openvino", "tensorflow"]


def test_example_rows_are_rows_that_servers_take(exported, home):
    """The example names every raw column in each row, in plain JSON."""
    rows = json.loads((exported[0] / "table" / "input_example.json").read_text())["instances"]
    assert len(rows) == 3
    assert all(set(row) == {column.name for column in load_summary(home.locate_data("table")).raw} for row in rows)


def test_the_signature_names_inputs_and_outputs(exported, home):
    """`signature.json` names every raw column as the model and as the file call it, and what the output means."""
    signature = json.loads((exported[0] / "table" / "signature.json").read_text())
    assert {column["column"] for column in signature["inputs"]} == {"age", "a b", "x/y", "\u00e9", "dense", "city"}
    assert signature["task"] == "binary"
    assert signature["output"] == {
        "shape": [1], "meaning": "probability of the second class", "classes": ["no", "yes"], "targets": ["bought"],
    }  # fmt: skip
    images = json.loads((exported[0] / "images" / "signature.json").read_text())
    assert images["output"]["shape"] == [3]
    assert images["output"]["meaning"] == "probability of each class"
    assert images["outputs"] == [
        {"name": "output_0", "shape": [3], "dtype": "float32", "meaning": "probability of each class"}
    ]


def test_the_serving_signature_names_the_raw_columns(exported, home):
    """A SavedModel's signature takes every raw column by its name, with any number of rows."""
    serve = tf.saved_model.load(str(exported[0] / "table" / "saved_model")).signatures["serving_default"]
    taken = serve.structured_input_signature[1]
    for column in load_summary(home.locate_data("table")).raw:
        assert taken[column.name].dtype.name == column.dtype
        assert taken[column.name].shape.as_list() == [None, *column.shape]
    assert len(taken) == 6


@pytest.mark.slow
def test_recipes_work_where_kerastudy_is_not_installed(exported, tmp_path):
    """The recipes in `SERVE.md` load every file in a process that cannot import our packages."""
    blocks = ["import os, sys", "sys.modules.update(pipelines=None, search_spaces=None, tracking=None)"]
    for study in ("table", "images"):
        folder = exported[0] / study
        blocks += [f"os.chdir({str(folder)!r})"]
        blocks += [block.split("```")[0] for block in (folder / "SERVE.md").read_text().split("```python\n")[1:]]
        blocks += [f"print('done {study}')"]
    (tmp_path / "recipes.py").write_text("\n".join(blocks))
    command = [sys.executable, "-P", str(tmp_path / "recipes.py")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-2:] == ["done", "images"]
    assert len(re.findall(r"\[\[", done.stdout)) >= len(WRITTEN["table"]) + len(WRITTEN["images"])


@pytest.mark.slow
@pytest.mark.parametrize("study", WRITTEN)
def test_all_formats_in_fresh_processes(home, tmp_path, study):
    """Every kind of model is verified in every format, each in a fresh process."""
    with closing(LocalEngine(1)) as engine:
        parities = export_trial(ExportSource.from_home(home, study, 0), list(FORMATS), tmp_path / "out", engine)
    assert [parity.format for parity in parities] == list(FORMATS)


@pytest.mark.slow
def test_a_file_that_kills_its_runtime_is_not_equal(home, tmp_path):
    """A LiteRT file that was cut off ends the process that loads it, and that process alone."""
    export_trial(ExportSource.from_home(home, "table", 0), ["litert"], tmp_path / "out", InlineEngine())
    (tmp_path / "model.tflite").write_bytes((tmp_path / "out" / "model.tflite").read_bytes()[:100])
    expected = tmp_path / "expected.npz"
    Expected((np.zeros((16, 1)),), (np.zeros((16, 1)),)).save(str(expected))
    trial = PastTrial(str(home.locate_trial("table", 0)), str(home.locate_data("table")))
    facts = WrittenModel((), (OutputTensor("output_0", (1,), "float32"),))
    payload = VerificationJob(trial, str(tmp_path), "litert", WrittenFile("model.tflite"), str(expected), facts)
    job = Job("proof", "pipelines.export.verify:verify_export", payload, tmp_path / "log", fresh=True)
    with closing(LocalEngine(1)) as engine, pytest.raises(JobError, match=r"proof failed: .*killed"):
        run_job(engine, job)


@pytest.mark.parametrize("name", ["keras", "litert_int8"])
def test_a_file_that_differs_is_not_exported(home, tmp_path, monkeypatch, name):
    """A file whose predictions are another model's is an error, and leaves nothing behind."""
    real = type(FORMATS[name]).load
    upside_down = lambda self, folder, written: lambda raw: (1 - real(self, folder, written)(raw)[0],)  # noqa: E731
    monkeypatch.setattr(type(FORMATS[name]), "load", upside_down)
    finer = "$" if name == "keras" else ".*: its rounding is too coarse for this model; export litert_dynamic"
    with pytest.raises(ExportError, match=f"{name} (differs from|decides as) the Keras model.*{finer}"):
        export_trial(ExportSource.from_home(home, "table", 0), [name], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("study", "name"), [("images", "litert"), ("table", "keras")])
def test_files_predict_some_rows_at_a_time(home, tmp_path, monkeypatch, study, name):
    """However many rows are compared, as few are in memory as fit there, and a runtime gets as few as Keras does."""
    monkeypatch.setattr("pipelines.models.raw_predict.BATCH_ROWS", 4)
    monkeypatch.setattr("pipelines.export.held_out._PART_BYTES", 1)
    monkeypatch.setattr("pipelines.data.prepared_folder._RAW_BYTES", 1)
    real, given = type(FORMATS[name]).load, []

    def load(self, folder, written):
        predict = real(self, folder, written)
        return lambda raw: given.append(len(next(iter(raw.values())))) or predict(raw)

    monkeypatch.setattr(type(FORMATS[name]), "load", load)
    (found,) = export_trial(ExportSource.from_home(home, study, 0), [name], tmp_path / "out", InlineEngine())
    assert given[: found.rows] == [1] * found.rows
    given.clear()
    monkeypatch.undo()
    monkeypatch.setattr("pipelines.models.raw_predict.BATCH_ROWS", 4)
    monkeypatch.setattr(type(FORMATS[name]), "load", load)
    (again,) = export_trial(ExportSource.from_home(home, study, 0), [name], tmp_path / "again", InlineEngine())
    assert max(given[: found.rows // 4]) == 4
    assert (again.rows, again.keras_score) == (found.rows, pytest.approx(found.keras_score))


def spoil_after(monkeypatch, name):
    """Cut a format's file off after it is written."""
    real = type(FORMATS[name]).write

    def spoil(self, deployed, folder):
        written = real(self, deployed, folder)
        file = folder / written.file
        file.write_bytes(file.read_bytes()[:100])
        return written

    monkeypatch.setattr(type(FORMATS[name]), "write", spoil)


@pytest.mark.parametrize("name", ["keras", "onnx"])
def test_a_spoilt_file_is_not_exported(home, tmp_path, monkeypatch, name):
    """A file that was cut off after it was written is an error, and leaves nothing behind."""
    spoil_after(monkeypatch, name)
    with pytest.raises(ExportError, match=f"{name} cannot be loaded again"):
        export_trial(ExportSource.from_home(home, "table", 0), [name], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_not_exported(home, tmp_path, monkeypatch):
    """A file with the right layers and other weights is another model."""
    real = type(FORMATS["onnx"]).write

    def write_others(self, deployed, folder):
        deployed.model.set_weights([np.ones_like(value) for value in deployed.model.get_weights()])
        return real(self, deployed, folder)

    monkeypatch.setattr(type(FORMATS["onnx"]), "write", write_others)
    with pytest.raises(ExportError, match="onnx differs from the Keras model"):
        export_trial(ExportSource.from_home(home, "images", 0), ["onnx"], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_predictions_that_are_no_numbers_are_not_equal(home, tmp_path, monkeypatch):
    """NaN is never within the tolerance."""
    monkeypatch.setattr(type(FORMATS["keras"]), "load", lambda *_: lambda raw: (np.full((len(raw["age"]), 1), np.nan),))
    with pytest.raises(ExportError, match="differs from the Keras model by nan"):
        export_trial(ExportSource.from_home(home, "table", 0), ["keras"], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_be_written_leaves_nothing(home, tmp_path, monkeypatch):
    """A failure while a file is written is an error that names the log."""

    def refuse(self, deployed, folder):
        (folder / "half").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(type(FORMATS["saved_model"]), "write", refuse)
    with pytest.raises(ExportError, match=r"No space left on device.*export\.log"):
        export_trial(
            ExportSource.from_home(home, "table", 0), ["keras", "saved_model"], tmp_path / "out", InlineEngine()
        )
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_left_alone(home, tmp_path):
    """Nothing is ever overwritten."""
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(InputError, match="exists already"):
        export_trial(ExportSource.from_home(home, "table", 0), ["keras"], target, InlineEngine())
    assert list(target.iterdir()) == []


def test_an_unknown_format_is_named_with_its_nearest(home, tmp_path):
    """An error in a format's name gives the nearest name."""
    with pytest.raises(InputError, match='unknown format "savedmodel"; did you mean "saved_model"'):
        export_trial(ExportSource.from_home(home, "table", 0), ["savedmodel"], tmp_path / "out", InlineEngine())


def test_a_trial_without_a_model_is_refused(home, tmp_path):
    """A trial whose model was not kept cannot be exported, and the message names the trials that can."""
    with pytest.raises(InputError, match=r"trial 5 of table has no model on disk.*keep_models"):
        export_trial(ExportSource.from_home(home, "table", 5), ["keras"], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_weights_alone_are_enough(home, mixed_data, tmp_path):
    """A trial that a fleet trained left its weights alone; its model is written when it is exported."""
    train_one(home, "fleet", mixed_data, "mlp", {"units": 4, "depth": 1, "batch_size": 16, "epochs": 1})
    before = leave_weights_alone(home.locate_trial("fleet", 0))
    [parity] = export_trial(ExportSource.from_home(home, "fleet", 0), ["keras"], tmp_path / "out", InlineEngine())
    assert parity.agreement == 1.0
    raw = load_raw(mixed_data, "test")
    after = keras.models.load_model(tmp_path / "out" / "model.keras")
    np.testing.assert_array_equal(predict_raw(after, raw), predict_raw(before, raw))


def test_a_format_named_twice_is_written_once(home, tmp_path):
    """Naming a format twice changes nothing."""
    parities = export_trial(
        ExportSource.from_home(home, "table", 0), ["keras", "keras"], tmp_path / "out", InlineEngine()
    )
    assert [parity.format for parity in parities] == ["keras"]
