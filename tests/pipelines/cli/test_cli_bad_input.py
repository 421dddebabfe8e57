"""Bad input of the command line: its message and exit code, and that nothing is written."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from command import kerastudy, list_below

from search_spaces.errors import KerastudyError

HEAD = "study: s\ndata: {source: d.csv, target: y}\nmodel: mlp\n"


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
    assert list_below(tmp_path) == ["s.yaml"]


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
    assert list_below(tmp_path) == []


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
        "40 values are no numbers, at line 9); correct them, name them in "
        'data.missing_values: {"a": ["seven"]}, or set data.columns.a.type to string\n'
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)
    assert list_below(tmp_path) == ["d.csv", "s.yaml"]


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
    assert list_below(tmp_path) == ["d.csv", "home", "s.yaml"]


def test_a_refusal_of_the_machine_is_no_defect(call, monkeypatch):
    """A full disk or missing rights are an error of one line, with code 1."""

    def refuse():
        raise OSError(28, "No space left on device", "/data/x")

    monkeypatch.setattr("pipelines.study.load.build_schema", refuse)
    assert call("schema") == (1, "", "/data/x: No space left on device\n")


def test_a_removed_folder_is_no_defect(tmp_path):
    """A terminal may stand in a folder that was removed; a command that needs none works there."""
    script = 'mkdir gone && cd gone && rmdir "$PWD" && exec "$0" -c "from pipelines.cli import main; main()" "$@"'
    code, ended = ["bash", "-c", script, sys.executable], []
    for word in ("list", "schema"):
        ended.append(subprocess.run([*code, word], cwd=tmp_path, capture_output=True, text=True, check=False))
    message = "the current folder was removed: change to another one\n"
    assert (ended[0].returncode, ended[0].stdout, ended[0].stderr) == (1, "", message)
    assert (ended[1].returncode, ended[1].stderr) == (0, "")


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


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_seldom_intended_settings_are_noted(call, tmp_path, verb):
    """A note goes to standard error, and the command continues: here to the error about missing data."""
    (tmp_path / "s.yaml").write_text(HEAD + "objective: {metric: loss}\n")
    code, out, err = call(verb, "s.yaml")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("note: s.yaml:4:21: objective.metric: ")
    assert second.startswith("s.yaml:2:16: data.source: ")
