"""The command line: every verb's help, and how the process ends."""

import json
import re
import subprocess
import sys

import jsonschema
import pytest
from command import COMMAND

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
