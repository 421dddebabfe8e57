"""Check of a study: an error at its key for bad data and models, and nothing kept or replaced."""

import json
import os
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from inline_engine import InlineEngine

from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import JobError
from pipelines.operations.check import check_study, note_uneven_batches
from pipelines.operations.submit import enqueue
from pipelines.study.load import load_study
from pipelines.study.stored import find_known_study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.store.database import Store

HEAD = "study: s\nmodel: mlp\ndata:\n  source: d.csv\n  target: y\n"


@pytest.fixture(scope="module")
def engine():
    """One worker for all tests of this file."""
    with closing(LocalEngine(1)) as started:
        yield started


def table(label=lambda row: row % 2, rows=40) -> str:
    return "a,b,y\n" + "".join(f"{row},{row * 7 % 13},{label(row)}\n" for row in range(rows))


def study_in(folder: Path, text: str, **files: str | bytes):
    """Write a study file and others beside it, two underscores standing for the dot, and load the study."""
    for name, content in {"s.yaml": text, **files}.items():
        (folder / name.replace("__", ".")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_study(folder / "s.yaml")


REFUSED = {
    "no such file": (HEAD, {}, "4:11: data.source: there is no file or folder d.csv; the choices are: s.yaml"),
    "a file misspelt": (
        HEAD,
        {"dd__csv": table()},
        '4:11: data.source: there is no file or folder d.csv; did you mean "dd.csv"? The choices are: dd.csv, s.yaml',
    ),
    "an empty file": (HEAD, {"d__csv": ""}, "4:11: data.source: d.csv is empty"),
    "a header alone": (HEAD, {"d__csv": "a,b,y\n"}, "4:11: data.source: d.csv has no rows below its header"),
    "an unknown ending": (
        HEAD.replace("d.csv", "d.xls"),
        {"d__xls": table()},
        '4:11: data.source: got a file ending in ".xls": d.xls; save it as .xlsx or .csv; expected a .csv, .tsv, .txt, '
        ".json, .jsonl (also .gz, .bz2, .xz or .zip of these), .xlsx, .parquet, .feather, .npz or .npy file, an image "
        "folder, sklearn:<name>, keras:<name> or loader.py:function",
    ),
    "a broken archive": (
        HEAD.replace("d.csv", "d.npz"),
        {"d__npz": b"PK\x03\x04broken"},
        "4:11: data.source: d.npz cannot be read as arrays: File is not a zip file",
    ),
    "an unknown set": (
        HEAD.replace("d.csv", "sklearn:irsi"),
        {},
        '4:11: data.source: scikit-learn has no data set "irsi"; did you mean "iris"? '
        "The choices are: breast_cancer, diabetes, digits, iris, wine",
    ),
    "an absent target": (
        HEAD.replace("target: y", "target: z"),
        {"d__csv": table()},
        '5:11: data.target: there is no column "z"; the choices are: a, b, y',
    ),
    "no target": (
        HEAD.replace("  target: y\n", ""),
        {"d__csv": table()},
        "3:1: data.target: name the column to predict; the columns are a, b, y",
    ),
    "a constant target": (
        HEAD,
        {"d__csv": table(lambda row: 1.5)},
        '5:11: data.target: the target "y" is the same in every row (1.5); there is nothing to learn',
    ),
    "one class only": (
        HEAD,
        {"d__csv": table(lambda row: "cat")},
        "5:11: data.target: the target \"y\" is 'cat' in every row; two classes are needed",
    ),
    "missing labels": (
        HEAD,
        {"d__csv": table(lambda row: "" if row in (3, 17) else row % 2)},
        '5:11: data.target: the target "y" is missing or not finite in 2 rows (line 5, line 19); correct them, '
        "or leave such rows out by data.drop_unlabelled: true",
    ),
    "mixed types": (
        HEAD,
        {"d__csv": table().replace("\n7,", "\nseven,")},
        "4:11: data.source: column \"a\" mixes types: '0' at line 2 is a number, 'seven' at line 9 is not (1 of 40 "
        'values are no numbers, at line 9); correct them, name them in data.missing_values: {"a": ["seven"]}, or set '
        "data.columns.a.type to string",
    ),
    "more folds than rows": (
        HEAD + "  split: {folds: 10}\n",
        {"d__csv": table(rows=6)},
        "6:18: data.split.folds: 10 folds need at least 10 rows that are not test rows, got 5",
    ),
    "a field too many": (
        HEAD,
        {"d__csv": table(rows=10) + "1,2,3,4\n"},
        "4:11: data.source: line 12 of d.csv has 4 fields, expected 3 as in the header; if the table ends "
        "above, set data.skipfooter: 1; else correct it, or set data.skip_broken: true to leave such lines out",
    ),
    "an unknown column": (
        HEAD + "  columns: {aa.b: {type: string}}\n",
        {"d__csv": table()},
        '6:13: data.columns.aa.b: there is no feature column "aa.b"; the choices are: a, b',
    ),
    "images wanted": (
        HEAD.replace("mlp", "cnn"),
        {"d__csv": table()},
        "4:11: data.source: the model takes images, but d.csv is a table; use model: mlp, tabular or mixed",
    ),
    "another task's loss": (
        HEAD + "training: {loss: binary_crossentropy}\n",
        {"d__csv": table(lambda row: row * 1.3)},
        '6:18: training.loss: loss "binary_crossentropy" does not fit a regression task; the choices are: huber, '
        "log_cosh, mean_absolute_error, mean_absolute_percentage_error, mean_squared_error, "
        "mean_squared_logarithmic_error, poisson",
    ),
    "another task's metric": (
        HEAD + "objective: {metric: val_accuracy}\n",
        {"d__csv": table(lambda row: row * 1.3)},
        '6:21: objective.metric: "val_accuracy" scores another task (binary, multiclass); the choices are: loss, '
        "mean_absolute_error, root_mean_squared_error, val_loss, val_mean_absolute_error, val_root_mean_squared_error",
    ),
    "weights of no class": (
        HEAD + "training: {class_weight: {d: 2}}\n",
        {"d__csv": table(lambda row: "abc"[row % 3])},
        '6:12: training.class_weight: "d" is no class of the target; the choices are: a, b, c',
    ),
    "a loader that fails": (
        HEAD.replace("d.csv", "l.py:load"),
        {"l__py": "def load():\n    raise RuntimeError('no network')\n"},
        "4:11: data.source: l.py:load failed: RuntimeError: no network (l.py, line 2)",
    ),
    "ceilings that no model keeps": (
        HEAD + "space: {units: 4, depth: 1}\nlimits: {parameters: 10, model_memory: 100B}\n",
        {"d__csv": table()},
        "7:22: limits.parameters: the smallest model of the space has 17 parameters already, got a "
        "ceiling of 10; raise it, or lower the bounds of the space\n"
        "s.yaml:7:40: limits.model_memory: the smallest model of the space takes about 3.096 KB to "
        "train, got a ceiling of 100 B; raise it, or lower the bounds of the space",
    ),
    "a model that is too large": (
        HEAD + "space: {units: 1000000, depth: 2}\nlimits: {memory: 2GB}\n",
        {"d__csv": table()},
        "6:1: space: the largest model of the space (units=1000000, depth=2) does not fit into memory; lower "
        "their upper bounds, or raise limits.memory above 2 GB",
    ),
}


def test_model_code_that_waits_is_ended(tmp_path, engine):
    """Code that never comes back is refused at `limits.check_time`, with what to change; nothing is left."""
    text = HEAD.replace("model: mlp", "model: 'model.py:build'") + "limits: {check_time: 2s}\n"
    code = "import time\n\n\ndef build(hp):\n    time.sleep(3600)\n"
    study = study_in(tmp_path, text, d__csv=table(), model__py=code)
    expected = r"6:22: limits.check_time: trying model.py:build takes longer than 2 s; raise the limit, or see what"
    with pytest.raises(InputError, match=expected):
        check_study(study, tmp_path / "study", engine)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(("text", "files", "message"), REFUSED.values(), ids=REFUSED)
def test_an_unusable_study_is_refused(tmp_path, engine, text, files, message):
    """An error that only data or model show is placed at its key in the study file; no folder is left."""
    study = study_in(tmp_path, text, **files)
    with pytest.raises(InputError) as refused:
        check_study(study, tmp_path / "home" / "studies" / "s", engine)
    assert str(refused.value).replace(f"{tmp_path}{os.sep}", "") == f"s.yaml:{message}"
    assert not (tmp_path / "home").exists()


def test_every_missing_file_is_named(tmp_path, engine):
    """All missing files are named at once, before a worker is started."""
    study = study_in(tmp_path, f"{HEAD}  validation_source: v.csv\n  test_source: t.csv\n", v__csv=table())
    with pytest.raises(InputError) as refused:
        check_study(study, tmp_path / "home", None)
    assert [problem.path for problem in refused.value.problems] == ["data.source", "data.test_source"]


def test_an_objective_whose_format_cannot_be_written_is_refused(tmp_path, monkeypatch):
    """A format whose package is missing is an error before any data is read, and not of every trial."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    goals = "objectives:\n  - {metric: val_loss}\n  - {metric: size_mb, format: litert}\n"
    study = study_in(tmp_path, HEAD + goals + "  - {metric: latency_ms, format: openvino}\n", d__csv=table())
    with pytest.raises(InputError) as refused:
        check_study(study, tmp_path / "home" / "s", InlineEngine())
    assert 's.yaml:9:34: objectives[2].format: the format "openvino" needs openvino' in str(refused.value)
    assert 'pip install "kerastudy[openvino]"' in str(refused.value)
    assert not (tmp_path / "home").exists()


def test_data_that_takes_too_much_memory_is_an_error_of_its_limit(tmp_path, engine):
    """A loader is held to the memory of a worker; the error is at that key, and nothing is kept."""
    loader = "import numpy as np\ndef load():\n    return np.ones((10**8, 8)), np.ones(10**8)\n"
    text = "study: s\nmodel: mlp\ndata: {source: 'loader.py:load', task: regression}\nlimits:\n  memory: 1500MB\n"
    study = study_in(tmp_path, text, loader__py=loader)
    with pytest.raises(
        InputError, match=r"5:11: limits.memory: preparing loader.py:load takes more than 1.5 GB; raise"
    ):
        check_study(study, tmp_path / "home", engine)
    assert not (tmp_path / "home").exists()


def test_the_output_of_a_failed_job_is_quoted(tmp_path, engine):
    """A preparation that fails otherwise shows the end of its log, which is removed with the rest."""
    loader = "import os\n\ndef load():\n    print('got so far', flush=True)\n    os._exit(3)\n"
    study = study_in(tmp_path, HEAD.replace("d.csv", "l.py:load"), l__py=loader)
    with pytest.raises(JobError, match=r"^data failed: .*; it printed:\n    got so far$"):
        check_study(study, tmp_path / "home", engine)
    assert not (tmp_path / "home").exists()


@pytest.fixture(scope="module")
def submitted(tmp_path_factory, engine):
    """A study that was checked and put in the queue of a home."""
    folder = tmp_path_factory.mktemp("submitted")
    study = study_in(folder, HEAD + "space: {depth: 1, units: [4, 8], epochs: 1}\n", d__csv=table())
    home = Home(folder / "home", str(folder / "home"))
    checked = check_study(study, home.locate_study("s"), engine)
    with Store.open(home.store) as store:
        enqueue(study, checked.summary, store)
    return study, home, checked


def test_a_check_gives_the_data_and_both_ends_of_the_space(submitted):
    """A check gives the data's summary and the cost of the smallest and the largest model, and keeps data and notes."""
    _, home, checked = submitted
    assert sum(checked.summary.rows.values()) == 40
    assert (checked.smallest.parameters, checked.largest.parameters) == (4 * 2 + 4 + 4 + 1, 8 * 2 + 8 + 8 + 1)
    assert sorted(path.name for path in home.locate_study("s").iterdir()) == ["data", "model_notes.json", "prepare.log"]


def test_the_same_study_is_known(submitted):
    """The same file finds the study that is there, with what it extends written out."""
    study, home, checked = submitted
    known = find_known_study(study, home)
    assert known is not None
    assert known.digest == study.compute_fingerprint().with_data(checked.summary.digest).format()
    assert json.loads(known.document)["space"] == study.space.to_dict()


def test_a_refused_study_leaves_others_alone(tmp_path, engine, monkeypatch):
    """Of two studies begun at once in a new home, the one that is refused takes nothing of the other with it."""
    others = tmp_path / "home" / "studies" / "other"

    def fails(*_):
        others.mkdir(parents=True)
        raise InputError("no")

    monkeypatch.setattr("pipelines.operations.check.prepare_data", fails)
    folder = Home.find(str(tmp_path / "home")).locate_study("s")
    with pytest.raises(InputError):
        check_study(study_in(tmp_path, HEAD, d__csv=table()), folder, engine)
    assert others.is_dir()
    assert not (others.parent / "s").exists()


def test_nothing_is_known_where_nothing_is(submitted, tmp_path):
    """A search for a study in a home that does not exist creates nothing."""
    assert find_known_study(submitted[0], Home(tmp_path / "new", str(tmp_path / "new"))) is None
    assert not (tmp_path / "new").exists()


def test_other_data_under_the_same_name_is_refused_and_replaces_nothing(submitted, engine, tmp_path):
    """Data that changed since a study began is refused at its key; what the study has prepared stays."""
    study, home, checked = submitted
    known = find_known_study(study, home)
    before = {path: path.read_bytes() for path in home.locate_data("s").rglob("*") if path.is_file()}
    file = study.base / "d.csv"
    kept = file.read_text()
    try:
        file.write_text(table(lambda row: (row + 1) % 2))
        with pytest.raises(InputError, match=r"s\.yaml:4:11: data\.source: the data has changed since the study began"):
            check_study(study, home.locate_study("s"), engine, known)
    finally:
        file.write_text(kept)
    assert {path: path.read_bytes() for path in home.locate_data("s").rglob("*") if path.is_file()} == before
    assert check_study(study, home.locate_study("s"), engine, known).summary == checked.summary


def test_another_study_under_the_same_name_is_refused(submitted, tmp_path):
    """The error names the sections that differ; keys that may change between runs do not count."""
    study, home, _ = submitted
    text = (study.base / "s.yaml").read_text()
    same = study_in(tmp_path, text + "budget: {trials: 99}\nlimits: {memory: 4GB}\n", d__csv=table())
    assert same.compute_fingerprint() == study.compute_fingerprint()
    other = study_in(tmp_path, text.replace("[4, 8]", "[4, 9]") + "training: {early_stopping: null}\n", d__csv=table())
    with pytest.raises(InputError) as refused:
        find_known_study(other, home)
    assert 's.yaml:1:8: study: study "s" exists already with another space, training; give this one' in str(
        refused.value
    )


def test_an_npz_file_is_prepared_once(tmp_path, engine):
    """A second check of the same study uses the data that is there."""
    np.savez(tmp_path / "d.npz", x=np.arange(80.0).reshape(40, 2), y=np.arange(40) % 2)
    study = study_in(tmp_path, "study: s\nmodel: mlp\ndata: {source: d.npz}\nspace: {depth: 1, units: 4, epochs: 1}\n")
    first = check_study(study, tmp_path / "home", engine)
    made = (tmp_path / "home" / "data" / "summary.json").stat().st_mtime_ns
    assert check_study(study, tmp_path / "home", engine).summary == first.summary
    assert (tmp_path / "home" / "data" / "summary.json").stat().st_mtime_ns == made


def test_a_model_that_devices_cannot_share_is_refused(tmp_path, engine):
    """The check builds the model on as many devices as trials train on, here two parts of the CPU."""
    text = HEAD + "training: {loss: dice}\nresources: {devices: 2}\n"
    study = study_in(tmp_path, text, d__csv=table(lambda row: "no" if row % 2 else "yes"))
    with pytest.raises(InputError) as raised:
        check_study(study, tmp_path / "home", engine)
    assert str(raised.value).endswith(
        "s.yaml:7:22: resources.devices: 2 devices cannot share the training of this model: dice is one number for a "
        "whole batch; write 1"
    )


@pytest.mark.parametrize(
    ("sizes", "devices", "noted"),
    [
        ("[32, 48]", 2, ""),
        ("[32, 33]", 2, "33"),
        ("{type: int, low: 16, high: 64, step: 16}", 3, "16"),
        ("33", 2, "33"),
        ("33", 1, ""),
    ],
)
def test_batches_that_devices_cannot_share_are_noted(tmp_path, sizes, devices, noted):
    """Trials with such a batch size train on one device, which the run states before it begins."""
    study = study_in(tmp_path, f"{HEAD}space: {{batch_size: {sizes}}}\nresources: {{devices: {devices}}}\n", d__csv="")
    notes = note_uneven_batches(study)
    assert bool(notes) == bool(noted)
    if noted:
        such = f"trials with a batch_size such as {noted}, no multiple of resources.devices ({devices})"
        assert notes == (f"{such}, train on one device",)
