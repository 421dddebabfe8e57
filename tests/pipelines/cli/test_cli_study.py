"""Verbs of a study that was run: what they print, their JSON, and their exit codes."""

import csv
import json
import os
import re
import signal
import subprocess
import time
from io import StringIO
from pathlib import Path

import psutil
import pytest
from command import COMMAND, environment, list_below
from process_tree import find_descendants

from pipelines.operations.replay.comparison import ItemComparison
from pipelines.operations.replay.replay import ReplayResult

FORMATS = "keras, keras_int8, litert, litert_dynamic, litert_float16, litert_int8, onnx, openvino, saved_model"


def test_a_run_prints_its_progress(finished):
    """In a log, a run is its opening, a line for each trial, its end, and what to do next; nothing else."""
    assert (finished.first.returncode, finished.first.stderr) == (0, "")
    lines = finished.first.stdout.splitlines()
    assert lines[:4] == [
        "cancer: binary, rows: 398 train, 114 validation, 57 test",
        "columns: 30 numeric",
        "classes: benign 357 (62.7%), malignant 212 (37.3%)",
        "maximize val_accuracy over 2 trials, 2 workers",
    ]
    trial = re.compile(r"t00[01] complete 0\.\d+ in [\d.ms]+(  \*best\*)?  \[[12] of 2 trials, .*best val_accuracy 0\.")
    assert sum(bool(trial.match(line)) for line in lines) == 2
    assert re.search(r"^cancer finished: .*2 complete.* after ", finished.first.stdout, re.MULTILINE)
    scores = r"test_loss \d.+, test_accuracy 0\.\d+, test_auc 0\.\d+"
    best = rf"^best: t00[01] with val_accuracy 0\.\d+; on the test rows: {scores}$"
    assert re.search(best, finished.first.stdout, re.MULTILINE)
    home = f" --home {finished.home}"
    assert lines[-3:] == [
        f"next: kerastudy best cancer{home}",
        f"      kerastudy export cancer --to FOLDER{home}",
        f"      kerastudy ui{home}",
    ]


def test_a_larger_budget_resumes(finished):
    """The same file with more trials resumes the study."""
    assert finished.second.returncode == 0
    assert "maximize val_accuracy going on after 2 of 3 trials, 2 workers" in finished.second.stdout
    assert len(re.findall(r"^t00\d complete", finished.second.stdout, re.MULTILINE)) == 1


def test_nothing_temporary_stays(finished):
    """After a run there is the study file and the home."""
    left = {path.name for path in finished.file.parent.iterdir()}
    if "COVERAGE_PROCESS_CONFIG" in os.environ:  # coverage leaves a temporary folder of multiprocessing behind
        left = {name for name in left if not name.startswith("pymp-")}
    assert left == {"cancer.yaml", "home"}
    assert not (finished.home / "studies" / "cancer" / "check").exists()


def test_a_finished_study_is_not_run_again(call, finished):
    """A run of a study whose budget is used up ends at once, without reading data or starting a worker."""
    before = (finished.home / "studies" / "cancer" / "prepare.log").stat().st_mtime_ns
    code, out, err = call("--home", finished.home, "run", finished.file, "--trials", "3")
    assert (code, err) == (0, "")
    assert out.startswith("nothing is left to do; for more trials: --trials N, or budget.trials\ncancer finished: ")
    assert (finished.home / "studies" / "cancer" / "prepare.log").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["space.units=[8, 32]"], "another space"),
        (["objective.metric=val_loss", "data.split.seed=3"], "another data, objective"),
        (["training.early_stopping=null"], "another training"),
    ],
)
def test_another_study_of_the_same_name_is_refused(call, finished, changes, message):
    """A study of the same name that searches something else is an error; the prepared data is not changed."""
    before = (finished.home / "studies" / "cancer" / "data" / "summary.json").read_bytes()
    options = [part for change in changes for part in ("--set", change)]
    code, out, err = call("--home", finished.home, "run", finished.file, *options)
    assert (code, out) == (2, "")
    assert err.startswith(f'{finished.file}:1:8: study: study "cancer" exists already with {message}; give this one')
    assert (finished.home / "studies" / "cancer" / "data" / "summary.json").read_bytes() == before


def test_show_timings(call, finished):
    """`show --timings` states what the time went into, as a table and as a list of spans that add up to it."""
    code, out, err = call("--home", finished.home, "show", "cancer", "--timings")
    assert (code, err) == (0, "")
    assert {"supervisor", "worker", "delivery"} <= {line.split(" ")[0] for line in out.splitlines()}
    spent_on = {re.split("  +", line.strip())[-1] for line in out.splitlines()}
    assert {"training", "delivering to MLflow", "not measured"} <= spent_on
    code, out, _ = call("--home", finished.home, "show", "cancer", "--timings", "--json")
    spans = json.loads(out)
    ours = [span for span in spans if span["row"] == "supervisor" and span["run"] == 1]
    assert sum(span["seconds"] for span in ours) <= max(span["end"] for span in spans) + 0.01
    assert [span["start"] for span in ours] == sorted(span["start"] for span in ours)


def test_the_home_may_stand_anywhere(call, finished, monkeypatch):
    """`--home` is accepted before and after the verb, and from the environment."""
    for arguments in (["--home", finished.home, "list"], ["list", "--home", finished.home]):
        assert call(*arguments)[0] == 0
    monkeypatch.setenv("KERASTUDY_HOME", str(finished.home))
    assert call("list")[0] == 0
    assert call("--home", "elsewhere", "list")[0] == 2


def test_list(call, finished):
    """`list` shows each study with its state, trials and best score, as a table and as JSON."""
    code, out, err = call("--home", finished.home, "list")
    assert (code, err) == (0, "")
    assert [line.split()[:4] for line in out.splitlines()][1] == ["cancer", "finished", "3/3", "val_accuracy"]
    (study,) = json.loads(call("--home", finished.home, "list", "--json")[1])
    assert (study["name"], study["state"], study["trials"], study["budget"]) == ("cancer", "finished", 3, 3)
    assert 0 < study["best"] <= 1


def test_show(call, finished):
    """`show` prints state, data, objective, trials and the best one's values, as text and as JSON."""
    code, out, _ = call("--home", finished.home, "show", "cancer")
    pairs = dict(re.match(r"(\s*\S+)\s+(.*)", line).groups() for line in out.splitlines())
    assert code == 0
    assert (pairs["study"], pairs["objective"]) == ("cancer", "maximize val_accuracy")
    assert pairs["trials"] == "3 of 3: 3 complete"
    assert pairs["MLflow"].endswith("mlflow.db: up to date")
    read = json.loads(call("--home", finished.home, "show", "cancer", "--json")[1])
    assert (read["state"], read["trials"], read["waiting_for_mlflow"]) == ("finished", {"complete": 3}, 0)
    assert set(read["best_params"]) >= {"units", "optimizer", "epochs"}


def test_trials(call, finished):
    """`trials` gives the same trials as JSON, CSV and a table; only active hyperparameters are there."""
    read = json.loads(call("--home", finished.home, "trials", "cancer", "--json")[1])
    assert [trial["number"] for trial in read] == [0, 1, 2]
    for trial in read:
        assert trial["state"] == "complete"
        assert len(trial["values"]) == 1
        assert isinstance(trial["params"]["batch_normalization"], bool)
        assert ("momentum" in trial["params"]) == (trial["params"]["optimizer"] == "sgd")
        assert trial["metrics"]["val_accuracy"] == pytest.approx(trial["values"][0])
        assert 1 <= trial["best_epoch"] <= 2
    rows = list(csv.DictReader(StringIO(call("--home", finished.home, "trials", "cancer", "--csv")[1])))
    assert [float(row["value"]) for row in rows] == [trial["values"][0] for trial in read]
    assert {row["params_batch_normalization"] for row in rows} <= {"true", "false"}
    assert len(call("--home", finished.home, "trials", "cancer")[1].splitlines()) == 4


def test_best(call, finished):
    """`best` is the complete trial with the best score, with its scores on the test rows and its model's file."""
    trials = json.loads(call("--home", finished.home, "trials", "cancer", "--json")[1])
    best = json.loads(call("--home", finished.home, "best", "cancer", "--json")[1])
    assert best["trial"] == max(trials, key=lambda trial: (trial["values"][0], -trial["number"]))
    assert set(best["test"]) == {"test_loss", "test_accuracy", "test_auc"}
    assert Path(best["model"]).is_file()
    code, out, _ = call("--home", finished.home, "best", "cancer")
    assert code == 0
    assert f"t{best['trial']['number']:03d}" in out


@pytest.mark.parametrize("verb", ["show", "trials", "best", "export", "promote"])
def test_an_unknown_study(call, finished, verb):
    """The error for an unknown study names the nearest one."""
    to = ["--to", "out"] if verb == "export" else []
    code, out, err = call("--home", finished.home, verb, "cancr", *to)
    assert (code, out) == (2, "")
    hint = 'did you mean "cancer"? The choices are: cancer'
    assert err == f'there is no study "cancr" in {finished.home}; {hint}\n'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "."], ". exists already: choose another folder with --to, or remove it first"),
        (["--to", "out", "--trial", "7"], "cancer has no trial 7; its trials are 0 to 2"),
        (
            ["--to", "out", "--format", "keras, onx"],
            f'unknown format "onx"; did you mean "onnx"? The choices are: {FORMATS}',
        ),
        (
            ["--to", "out", "--format", "../keras"],
            f'unknown format "../keras"; did you mean "keras"? The choices are: {FORMATS}',
        ),
        (["--to", "out", "--format", ""], f'unknown format ""; the choices are: {FORMATS}'),
    ],
)
def test_an_export_that_cannot_be(call, finished, tmp_path, options, message):
    """An export to an existing folder, of an unknown trial or in an unknown format writes nothing."""
    assert call("--home", finished.home, "export", "cancer", *options) == (2, "", f"{message}\n")
    assert list_below(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cancr", "0"], 'there is no study "cancr" in {home}; did you mean "cancer"? The choices are: cancer'),
        (["cancer", "7"], "cancer has no trial 7; its trials are 0 to 2"),
        (["cancer", "0", "--to", "."], ". exists already: choose another folder with --to, or remove it first"),
    ],
)
def test_a_replay_that_cannot_be(call, finished, tmp_path, words, message):
    """A replay of an unknown trial, or into an existing folder, trains nothing and writes nothing."""
    assert call("--home", finished.home, "replay", *words) == (2, "", f"{message.format(home=finished.home)}\n")
    assert list_below(tmp_path) == []


def test_a_service_does_not_replay(call, monkeypatch):
    """The error names the command that replays on the home."""
    monkeypatch.setenv("KERASTUDY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("KERASTUDY_TOKEN", "it")
    code, out, err = call("replay", "cancer", "0")
    assert (code, out) == (2, "")
    assert err.endswith("run it there, as kerastudy --home FOLDER replay cancer 0\n")


@pytest.mark.parametrize(("agreement", "code"), [("equal", 0), ("rounding", 0), ("unknown", 0), ("different", 1)])
def test_the_exit_code_of_a_replay_is_about_its_result(call, monkeypatch, agreement, code):
    """Only a different training is a failure, other differences are not; `--json` has every comparison."""
    other = ItemComparison("environment", "numpy", "different", "1.26", "2.0")
    done = ReplayResult(
        "s", 3, agreement, "graph", "data", 1.0, (), (ItemComparison("result", "state", agreement), other)
    )
    monkeypatch.setattr("pipelines.operations.replay.replay.replay", lambda *given: done)
    assert call("replay", "s", "3")[0] == code
    ended, out, _ = call("replay", "s", "3", "--json")
    assert (ended, json.loads(out)["agreement"]) == (code, agreement)
    assert [each["name"] for each in json.loads(out)["compared"]] == ["state", "numpy"]


@pytest.mark.slow
def test_a_replay(call, finished, tmp_path):
    """`replay` trains a trial again to the same bits, keeps its files on request, and does not change the study."""
    before = list_below(finished.home / "studies")
    code, out, _ = call("--home", finished.home, "replay", "cancer", "1", "--to", "kept")
    assert (code, out.splitlines()[0]) == (0, "cancer t001 came out equal to the last bit")
    assert json.loads((tmp_path / "kept" / "replay.json").read_text())["agreement"] == "equal"
    assert list_below(finished.home / "studies") == before


@pytest.mark.long
def test_an_export(call, finished, tmp_path):
    """`export` creates the folder with the model and its verification, and prints that as JSON."""
    code, out, err = call("export", "cancer", "--to", "deep/out", "--trial", "1", "--json", "--home", finished.home)
    assert (code, err) == (0, "")
    read = json.loads(out)
    assert (read["study"], read["trial"], [file["format"] for file in read["files"]]) == ("cancer", 1, ["keras"])
    assert read["files"][0]["largest_difference"] == 0
    beside = {"README.md", "SERVE.md", "input_example.json", "requirements.txt", "signature.json", "study.json"}
    assert set(list_below(tmp_path / "deep" / "out")) == {"model.keras", "parity.json", *beside}
    card = (tmp_path / "deep" / "out" / "README.md").read_text()
    assert "a trial, not the winner" in card if read["test"] == {} else "is the winner" in card
    assert "| `units` | type" in card
    assert "type fixed" not in card
    assert json.loads((tmp_path / "deep" / "out" / "study.json").read_text())["study"] == "cancer"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_validate(call, finished, tmp_path):
    """`validate` shows rows, task, inputs and both ends of the space, as text and JSON, and keeps nothing."""
    code, out, err = call("validate", finished.file, "--json")
    assert (code, err) == (0, "")
    read = json.loads(out)
    assert read["summary"]["rows"] == {"train": 398, "validation": 114, "test": 57}
    assert read["smallest"]["parameters"] < read["largest"]["parameters"]
    assert list_below(tmp_path) == []


@pytest.mark.long
def test_an_interrupt_pauses_the_study(finished, tmp_path):
    """Ctrl-C puts running trials back, prints how to resume, exits with 130, and leaves no process behind."""
    text = finished.file.read_text().replace("epochs: 2", "epochs: 100000")
    (tmp_path / "long.yaml").write_text(f"{text}training: {{early_stopping: null}}\n")
    command = [COMMAND, "run", "long.yaml", "--home", "home"]
    # Workers of kept servers would be no children of it.
    environ = environment(PYTHONUNBUFFERED="1", KERASTUDY_WARM_SECONDS="0")
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if line.startswith("maximize"):
                break
        wait_for_workers(tmp_path / "home" / "studies" / "cancer")
        workers = find_descendants(running.pid)
        os.kill(running.pid, signal.SIGINT)
        rest = running.stdout.read()
        assert running.wait(timeout=300) == signal.SIGINT + 128
    assert "cancer paused: resume it to go on (2 to be run again)" in rest
    assert not psutil.wait_procs(workers, timeout=120)[1]


def wait_for_workers(folder: Path) -> None:
    """Wait until a trial, or a fleet of them, has begun to write."""
    deadline = time.monotonic() + 180
    while not any(folder.glob("trials/**/worker.log")) and not any(folder.glob("fleet*.log")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
