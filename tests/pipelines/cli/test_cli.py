"""The command line: every verb, its JSON, its exit codes, and that bad input writes nothing."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

import jsonschema
import psutil
import pytest
from command import COMMAND, environment, kerastudy
from mlflow import MlflowClient
from mlflow_picture import drop_ids, read_picture

from pipelines import cli
from pipelines.operations.replay.comparison import ItemComparison
from pipelines.operations.replay.replay import ReplayResult
from search_spaces.errors import KerastudyError
from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ParametersDrawn
from tracking.store.database import Store

HEAD = "study: s\ndata: {source: d.csv, target: y}\nmodel: mlp\n"
FORMATS = "keras, keras_int8, litert, litert_dynamic, litert_float16, litert_int8, onnx, openvino, saved_model"
VERBS = (
    *(
        "best",
        "cancel",
        "export",
        "list",
        "login",
        "logs",
        "pause",
        "predict",
        "promote",
        "rebuild-tracking",
        "replay",
        "resume",
    ),
    "run",
    *("schema", "serve", "show", "stop", "submit", "sync", "trials", "ui", "validate", "wait"),
)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in this process, in `tmp_path`: exit code, output, errors."""
    for name in ("KERASTUDY_HOME", "KERASTUDY_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kerastudy", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def written(folder: Path) -> list[str]:
    """Return everything below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Help and schema ---------------------------------------------------------------------------------------------


def test_help_loads_nothing_heavy():
    """`kerastudy --help` names every verb and imports no framework, so that it answers at once."""
    script = (
        "import sys; sys.argv = ['kerastudy', '--help']\n"
        "from pipelines.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    help_text, _, modules = out.rstrip().rpartition("\n")
    heavy = {"tensorflow", "keras", "keras_tuner", "mlflow", "optuna", "pandas", "numpy", "sklearn", "pydantic", "rich"}
    assert not heavy & set(modules.split())
    assert set(VERBS) <= set(re.findall(r"^  ([a-z-]+) ", help_text, re.MULTILINE))


@pytest.mark.parametrize(("words", "code"), [(["spaces"], 0), (["show", "none"], 2), (["--nothing"], 2)])
def test_the_process_leaves_with_its_work_done(tmp_path, words, code):
    """The command is not taken apart at its end, but threads finish, others clean up and every line is written."""
    script = (
        "import atexit, sys, threading, time\n"
        f"sys.argv = {['kerastudy', '--home', str(tmp_path / 'home'), *words]!r}\n"
        "class Taken:\n    def __del__(self): print('taken apart', flush=True)\n"
        "taken = Taken()\n"
        "done = threading.Event()\n"
        "threading.Thread(target=lambda: (done.wait(), time.sleep(0.1), print('finished'))).start()\n"
        "from pipelines import cli\n"
        "main = cli.main\n"
        "def run():\n"
        "    atexit.register(print, 'cleaned up')\n"
        "    try: main()\n"
        "    finally: done.set()\n"
        "cli.main = run\n"
        "cli.command()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert ended.returncode == code
    assert ended.stdout.splitlines()[-1] == "cleaned up"
    assert "finished" in ended.stdout.splitlines()
    assert bool(ended.stderr) == (code != 0)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(call, verb):
    """`-h` after a verb prints its help and exits with 0."""
    code, out, _ = call(verb, "-h")
    assert code == 0
    assert out.startswith(f"Usage: kerastudy {verb}")


def test_every_option_is_explained_in_its_verb(call):
    """The help of a verb can be read alone: nothing in it points to the help of another command."""
    for verb in VERBS:
        _, out, _ = call(verb, "--help")
        assert "before the verb" not in out
        assert ("--home FOLDER" in out) == ("Where all state is kept" in out)


def test_the_version_is_printed(call):
    """`--version` prints the version alone."""
    code, out, _ = call("--version")
    assert (code, bool(re.fullmatch(r"\d+\.\d+\.\d+\n", out))) == (0, True)


def test_the_schema_is_printed(call):
    """`schema` prints a JSON Schema with the study file's keys."""
    code, out, err = call("schema")
    jsonschema.Draft202012Validator.check_schema(json.loads(out))
    assert (code, err) == (0, "")
    assert {"study", "data", "model", "space"} <= set(json.loads(out)["properties"])


def test_a_reader_may_stop_early(tmp_path):
    """`kerastudy schema | head -1` ends without a traceback."""
    shell = f"'{COMMAND}' schema | head -1"
    ended = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("{\n", "")


# Bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "s.yml"], 's.yml: there is no such file; did you mean "s.yaml"?'),
        (["run", "."], ".: expected a file, got a folder; name the YAML file in it"),
        (["validate", "no.yaml"], "no.yaml: there is no such file; check the path"),
        (["run", "s.yaml", "--set", "budget"], "--set budget: expected KEY=VALUE with a dotted key, such as "
         "budget.trials=5"),
        (["validate", "s.yaml", "--set", "budget.trials=0"], "--set budget.trials=0: budget.trials: expected a number "
         "of at least 1, got 0"),
        (["run", "s.yaml", "--trials", "2000000"], "--set budget.trials=2000000: budget.trials: expected a number of "
         "at most 1000000, got 2000000"),
        (["run", "s.yaml"], "s.yaml:2:16: data.source: there is no file or folder d.csv; the choices are: s.yaml"),
        (["validate", "s.yaml"], "s.yaml:2:16: data.source: there is no file or folder d.csv; the choices are: s.yaml"),
        (["list"], "there are no studies in {home}: run one first, or name another --home"),
        (["show", "x"], "there are no studies in {home}: run one first, or name another --home"),
        (["trials", "x", "--csv", "--json"], "--csv and --json: expected one of them"),
        (["--home", "s.yaml", "list"], "{folder}/s.yaml: expected a folder to keep studies in, got a file; "
         "name another --home"),
        (["run", "s.yaml", "--home", "s.yaml/home"], "{folder}/s.yaml/home: expected a folder to keep studies in, "
         "got a file; name another --home"),
    ],
)  # fmt: skip
def test_bad_input_is_an_error_and_nothing_is_written(call, tmp_path, arguments, message):
    """Bad input ends with code 2 and its problem alone, before any home is made."""
    (tmp_path / "s.yaml").write_text(HEAD)
    message = message.format(home=tmp_path / ".kerastudy", folder=tmp_path)
    assert call(*arguments) == (2, "", f"{message}\n")
    assert written(tmp_path) == ["s.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "s.yaml", "--trials", "0"],
            "Invalid value for '--trials': expected a whole number of at least 1, got 0",
        ),
        (["run", "s.yaml", "--trials", "many"], "expected a whole number of at least 1, got many"),
        (["run", "s.yaml", "--workers", "-1"], "expected a whole number of at least 1, got -1"),
        (["ui", "--port", "70000"], "expected a whole number from 1 to 65535, got 70000"),
        (["rn", "s.yaml"], "No such command 'rn'. Did you mean 'run'?"),
        (["run", "s.yaml", "--trails", "3"], "No such option '--trails'. Did you mean '--trials'?"),
        (["run"], "Missing argument 'FILE'"),
        (["export", "x"], "Missing option '--to'"),
        (["schema", "x"], "unexpected extra argument (x)"),
    ],
)
def test_bad_usage(call, tmp_path, arguments, message):
    """A command that cannot be understood ends with code 2, the usage, and the nearest right word."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: kerastudy")
    assert message in err
    assert written(tmp_path) == []


def write_rows(folder: Path, rows: list[str]) -> None:
    """Write a study file, and the table with the columns `a` and `y` that it reads."""
    (folder / "s.yaml").write_text(HEAD)
    (folder / "d.csv").write_text("\n".join(["a,y", *rows]) + "\n")


@pytest.mark.long
def test_bad_data_is_an_error_and_nothing_is_left(tmp_path):
    """An error that a worker finds has its place in the study file too; home and temporary files are gone."""
    write_rows(tmp_path, [f"{'seven' if row == 7 else row},{row % 2}" for row in range(40)])
    with tempfile.TemporaryDirectory() as temporary:  # tmp_path is too long for the workers' socket
        # Unmeasured: coverage leaves a temporary folder of multiprocessing behind.
        unmeasured = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": "", "KERASTUDY_WARM_SECONDS": "0"}
        ended = kerastudy("--home", "home", "run", "s.yaml", cwd=tmp_path, TMPDIR=temporary, **unmeasured)
        assert list(Path(temporary).iterdir()) == []
    message = (
        "s.yaml:2:16: data.source: column \"a\" mixes types: '0' at line 2 is a number, 'seven' at line 9 is not (1 of "
        "40 values are no numbers, at line 9); correct them, name them in data.missing_values, or set "
        "data.columns.a.type to string\n"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)
    assert written(tmp_path) == ["d.csv", "s.yaml"]


def test_a_long_temporary_folder_is_an_error(tmp_path):
    """Workers are reached through a socket in the temporary folder, whose path the system limits."""
    write_rows(tmp_path, [f"{row},{row % 2}" for row in range(40)])
    long = tmp_path / ("x" * 60) / ("y" * 60)
    long.mkdir(parents=True)
    ended = kerastudy("--home", "home", "run", "s.yaml", cwd=tmp_path, TMPDIR=str(long))
    message = f"the temporary folder's path is too long: {long}; set TMPDIR to another\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", message)


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_bad_data_leaves_a_home_as_it_was(call, tmp_path, verb):
    """Bad data is refused with its rows, and a home that existed before is not changed."""
    write_rows(tmp_path, [f"{row},{'' if row in (3, 17) else row % 2}" for row in range(40)])
    (tmp_path / "home").mkdir()
    problem = 's.yaml:2:31: data.target: the target "y" is missing or not finite in 2 rows (line 5, line 19)'
    advice = "correct them, or leave such rows out by data.drop_unlabelled: true"
    assert call("--home", "home", verb, "s.yaml") == (2, "", f"{problem}; {advice}\n")
    assert written(tmp_path) == ["d.csv", "home", "s.yaml"]


def test_a_refusal_of_the_machine_is_no_defect(call, monkeypatch):
    """A full disk or missing rights are an error of one line, with code 1."""

    def refuse():
        raise OSError(28, "No space left on device", "/data/x")

    monkeypatch.setattr("pipelines.study.load.build_schema", refuse)
    assert call("schema") == (1, "", "/data/x: No space left on device\n")


def test_a_defect_shows_its_traceback(call, monkeypatch):
    """An unexpected exception ends with code 1, the traceback, and the advice to report it."""

    def fail():
        raise ValueError("unforeseen")

    monkeypatch.setattr("pipelines.study.load.build_schema", fail)
    code, out, err = call("schema")
    assert (code, out) == (1, "")
    assert "ValueError: unforeseen" in err
    assert err.endswith("This is a defect in kerastudy; please report it with the lines above.\n")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KerastudyError("it failed"), 1, "it failed\n"), (KeyboardInterrupt(), 130, "\n")],
)
def test_failures_and_interrupts_have_codes(call, monkeypatch, error, code, message):
    """A study or an export that failed exits with 1, an interrupt with 130."""

    def fail():
        raise error

    monkeypatch.setattr("pipelines.study.load.build_schema", fail)
    assert call("schema") == (code, "", message)


# A study, run ------------------------------------------------------------------------------------------------


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
    assert written(tmp_path) == []


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
    assert written(tmp_path) == []


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
    before = written(finished.home / "studies")
    code, out, _ = call("--home", finished.home, "replay", "cancer", "1", "--to", "kept")
    assert (code, out.splitlines()[0]) == (0, "cancer t001 came out equal to the last bit")
    assert json.loads((tmp_path / "kept" / "replay.json").read_text())["agreement"] == "equal"
    assert written(finished.home / "studies") == before


@pytest.mark.long
def test_an_export(call, finished, tmp_path):
    """`export` creates the folder with the model and its verification, and prints that as JSON."""
    code, out, err = call("export", "cancer", "--to", "deep/out", "--trial", "1", "--json", "--home", finished.home)
    assert (code, err) == (0, "")
    read = json.loads(out)
    assert (read["study"], read["trial"], [file["format"] for file in read["files"]]) == ("cancer", 1, ["keras"])
    assert read["files"][0]["largest_difference"] == 0
    beside = {"README.md", "SERVE.md", "input_example.json", "requirements.txt", "signature.json", "study.json"}
    assert set(written(tmp_path / "deep" / "out")) == {"model.keras", "parity.json", *beside}
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
    assert written(tmp_path) == []


# Interrupts --------------------------------------------------------------------------------------------------


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
        workers = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, signal.SIGINT)
        rest = running.stdout.read()
        assert running.wait(timeout=60) == signal.SIGINT + 128
    assert "cancer paused: resume it to go on (2 to be run again)" in rest
    assert not psutil.wait_procs(workers, timeout=120)[1]


def wait_for_workers(folder: Path) -> None:
    """Wait until a trial, or a fleet of them, has begun to write."""
    deadline = time.monotonic() + 180
    while not any(folder.glob("trials/**/worker.log")) and not any(folder.glob("fleet*.log")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_seldom_intended_settings_are_noted(call, tmp_path, verb):
    """A note goes to standard error, and the command continues: here to the error about missing data."""
    (tmp_path / "s.yaml").write_text(HEAD + "objective: {metric: loss}\n")
    code, out, err = call(verb, "s.yaml")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("note: s.yaml:4:21: objective.metric: ")
    assert second.startswith("s.yaml:2:16: data.source: ")


# Keeping MLflow in step --------------------------------------------------------------------------------------


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished study's home, to be changed."""
    return Path(shutil.copytree(finished.home, tmp_path / "copied"))


def leave_something(home: Path) -> None:
    """Add a record that changes nothing to those that wait."""
    with Store.open(home) as store:
        Outbox(store).add([ParametersDrawn("cancer", 0, {})])


def test_sync(call, copied):
    """Waiting records are delivered and counted; then there is nothing to do."""
    leave_something(copied)
    assert call("--home", copied, "sync")[:2] == (0, "cancer: 1 record delivered\n")
    assert call("--home", copied, "sync")[:2] == (0, "MLflow is up to date\n")
    code, out, _ = call("--home", copied, "sync", "cancer", "--json")
    assert (code, json.loads(out)) == (
        0,
        [{"study": "cancer", "delivered": 0, "left": 0, "reason": "", "is_busy": False}],
    )


def test_sync_without_mlflow(call, copied, monkeypatch):
    """Undelivered records are an error with the reason; nothing is lost, and `show` prints the same."""
    leave_something(copied)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, out, _ = call("--home", copied, "sync", "--wait", "1")
    assert code == 1
    assert out.startswith("cancer: 0 records delivered, 1 left (MLflow does not answer: MlflowException: API request")
    _, shown, _ = call("--home", copied, "show", "cancer")
    assert "1 record to go (MLflow does not answer: MlflowException: " in shown
    read = json.loads(call("--home", copied, "show", "cancer", "--json")[1])
    assert (read["waiting_for_mlflow"], read["mlflow_error"][:22]) == (1, "MLflow does not answer")


def test_running_a_finished_study_delivers_what_waits(call, copied, finished):
    """The file is run again, nothing is left to train, and the waiting records are delivered."""
    leave_something(copied)
    code, out, _ = call("--home", copied, "run", finished.file, "--trials", "3")
    assert (code, "nothing is left to do" in out, "not in MLflow yet" in out) == (0, True, False)
    with Store.open(copied) as store:
        assert Outbox(store).read_backlog("cancer").rows == 0


def test_rebuild_tracking(call, copied, finished, tmp_path, monkeypatch):
    """In an empty MLflow a study of real trainings looks as it did in the one that was lost."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", urls.make_home_tracking_uri(tmp_path))
    assert call("--home", copied, "rebuild-tracking", "cancer")[0] == 0
    pictures = []
    for folder in (finished.home, tmp_path):
        uri = urls.make_home_tracking_uri(folder)
        pictures.append(drop_ids(read_picture(MlflowClient(uri, registry_uri=uri), "cancer"), times=False))
    shown = []
    for runs, models, _ in pictures:
        # It ended twice; its first end is not emitted again.
        assert runs.pop("cancer")[0] == "FINISHED"
        for _, _, _, tags, histories, *_ in runs.values():
            tags.pop("kerastudy.why_alone", None)
            for name in [name for name in histories if name.startswith(("test_", "validation_"))]:
                del histories[name]
        shown.append((runs, models))
    assert len(shown[0][0]) == 3
    assert shown[0] == shown[1]


@pytest.mark.parametrize("verb", ["sync", "rebuild-tracking"])
def test_maintenance_of_an_unknown_study(call, copied, tmp_path, verb):
    """An unknown study and an empty home are bad input."""
    code, _, err = call("--home", copied, verb, "cancel")
    assert (code, 'there is no study "cancel"' in err, 'did you mean "cancer"' in err) == (2, True, True)
    code, _, err = call("--home", tmp_path / "empty", verb, "cancer")
    assert (code, "there are no studies in" in err) == (2, True)
