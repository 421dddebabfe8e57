"""The documentation matches the code: nothing is missing from it, and every example in it works."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from command import kerastudy_here
from pydantic import BaseModel

from pipelines import cli
from pipelines.spec.schema import StudySpec
from pipelines.study.load import load_study

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("studies/*.md")])
EXAMPLES = sorted(ROOT.glob("studies/*.yaml"))
PACKAGES = ("search_spaces", "tracking", "pipelines")


def test_generated_tables_are_up_to_date() -> None:
    """The tables in the pages are what the code gives now; `make docs` writes them."""
    write_reference = _write_reference()
    behind = [page.name for page in PAGES if write_reference.fill_page(_text(page)) != _text(page)]
    assert behind == []


def test_every_section_is_documented() -> None:
    """Every section of a study file has its table of keys in the reference."""
    page = _text(ROOT / "docs/study-file.md")
    missing = [path for path in _sections(StudySpec) if f"<!-- generated: keys {path} -->" not in page]
    assert "<!-- generated: keys -->" in page
    assert missing == []


def test_every_verb_is_documented() -> None:
    """The page of commands is generated, and every verb has a line in the README or the getting-started page."""
    assert "<!-- generated: command -->" in _text(ROOT / "docs/command-line.md")
    page = _text(ROOT / "docs/command-line.md")
    assert [verb for verb in _verbs() if f"### `kerastudy {verb}`" not in page] == []


def test_every_setting_is_documented() -> None:
    """Every environment variable that the code reads stands in the operating notes."""
    read = {name for file in _sources() for name in re.findall(r"KERASTUDY_[A-Z_]+|MLFLOW_TRACKING_URI", _text(file))}
    page = _text(ROOT / "docs/operating.md")
    assert read, "the code reads no setting: is the search for them broken?"
    assert {name for name in read if f"`{name}`" not in page} == set()


def _fenced_studies() -> Iterator[object]:
    for page in PAGES:
        for count, block in enumerate(
            re.findall(r"```ya?ml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), start=1
        ):
            if re.search(r"^study:", block, re.MULTILINE):
                yield pytest.param(block, id=f"{page.name}-{count}")


@pytest.mark.parametrize("block", [*_fenced_studies()])
def test_every_study_in_the_pages_is_valid(block: str, tmp_path: Path) -> None:
    """A study file that a page shows can be copied: it passes every check that needs no data."""
    for page in PAGES:
        _write_shown_code(page, tmp_path)
    file = tmp_path / "study.yaml"
    file.write_text(block, encoding="utf-8")
    for named in re.findall(r"weights: (\S+\.h5)", block):
        (tmp_path / named).touch()
    assert load_study(file).name


def _shown_commands() -> Iterator[object]:
    for page in PAGES:
        for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"\s*(\$ )?kerastudy ", line):
                    yield pytest.param(line.strip().removeprefix("$ "), id=f"{page.name}: {line.strip()}")


@pytest.mark.parametrize("line", [*_shown_commands()])
def test_every_command_in_the_pages_exists(line: str) -> None:
    """A command that a page shows names a verb that exists, with options that it has."""
    words = shlex.split(line, comments=True)[1:]
    words = words[2:] if words[0] == "--home" else words
    if words[0].startswith("-"):
        return
    verb = _verbs()[words[0]]
    if isinstance(verb, click.Group):
        words = words[1:]
        verb = verb.commands[words[0]]
    known = {name for parameter in verb.params for name in parameter.opts}
    assert {word.partition("=")[0] for word in words[1:] if word.startswith("-")} <= known | {"--help"}


def _links() -> Iterator[object]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target):
                yield pytest.param(page, target, id=f"{page.name}-{target}")


@pytest.mark.parametrize(("page", "target"), [*_links()])
def test_links_lead_somewhere(page: Path, target: str) -> None:
    """A relative link in a page names a file of the repository, and a heading of that page if it names one."""
    name, _, heading = target.partition("#")
    linked = page.parent / name if name else page
    assert linked.exists()
    assert not heading or heading in _anchors(linked)


def test_every_example_is_listed() -> None:
    """The page of examples names each study file beside it."""
    page = _text(ROOT / "studies/README.md")
    assert [file.name for file in EXAMPLES if f"({file.name})" not in page] == []


def _first_is_quick(file: Path) -> object:
    """Return an example to run: one of them always, the others with the slow tests."""
    return pytest.param(file, id=file.stem, marks=[] if file == EXAMPLES[0] else [pytest.mark.slow])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", [_first_is_quick(file) for file in EXAMPLES])
def test_every_example_runs(file: Path, tmp_path: Path) -> None:
    """An example study runs from its file to an exported model, here with a small budget."""
    study = load_study(file).name
    home = {"KERASTUDY_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": ""}
    _kerastudy(home, "run", str(file), "--trials", "2", "--workers", "1", "--set", "space.epochs=2")
    trials = json.loads(_kerastudy(home, "trials", study, "--json"))
    _kerastudy(home, "export", study, "--to", str(tmp_path / "exported"))
    assert [trial["number"] for trial in trials] == [0, 1]
    assert any(path.suffix == ".keras" for path in (tmp_path / "exported").rglob("*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_user_code_runs_as_shown(tmp_path: Path) -> None:
    """The user model and the loader on the page run, each with the study file below it."""
    page = ROOT / "docs/user-code.md"
    _write_shown_code(page, tmp_path)
    settings = {"KERASTUDY_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": ""}
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", _text(page), re.DOTALL)):
        file = tmp_path / f"study-{number}.yaml"
        file.write_text(block, encoding="utf-8")
        _kerastudy(settings, "run", str(file), "--trials", "2", "--workers", "1", "--set", "space.epochs=2")
    studies = json.loads(_kerastudy(settings, "list", "--json"))
    assert [(study["name"], study["state"]) for study in studies] == [
        ("wine-user-model", "finished"),
        ("user-data", "finished"),
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_keras_tuner_page_runs_as_shown(tmp_path: Path) -> None:
    """The hypermodel on the page runs from its study file, and the tuner on the page runs with our oracle."""
    page = ROOT / "docs/keras-tuner.md"
    _write_shown_code(page, tmp_path)
    settings = {"KERASTUDY_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": ""}
    (block,) = re.findall(r"```yaml\n(.*?)```", _text(page), re.DOTALL)
    (tmp_path / "study.yaml").write_text(block, encoding="utf-8")
    _kerastudy(settings, "run", str(tmp_path / "study.yaml"), "--trials", "2", "--workers", "1")
    trials = json.loads(_kerastudy(settings, "trials", "tuned-fit", "--json"))
    assert [set(trial["params"]) for trial in trials] == [{"units", "shift", "batch_size"}] * 2
    program = [sys.executable, "search.py"]
    done = subprocess.run(
        program, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\{'units': \d+, 'rate': [\d.e-]+\}$", done.stdout, re.MULTILINE)


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_the_python_page_runs_as_shown(tmp_path: Path) -> None:
    """The program on the page about Python can be copied: it ends with an exported model."""
    (program,) = re.findall(r"```python\n(.*?)```", _text(ROOT / "docs/python.md"), re.DOTALL)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    environment = os.environ | {"KERASTUDY_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(
        [sys.executable, "program.py"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"trial \d: \d\.\d+ with \{", done.stdout)
    assert (tmp_path / "wine-model" / "model.keras").exists()


@pytest.mark.long
def test_the_notebook_page_leads_to_an_exported_model(tmp_path: Path) -> None:
    """The cells up to the export run on standard input, and once more as cells do: the study is finished by then."""
    page = _text(ROOT / "docs/notebook.md")
    before_training, again = page.partition("## Tune the training")[0], "\nprint(kerastudy.run(**keys).state)\n"
    keys = 'keys = {"study": "digits", "model": build, "data": (x, y), "objective": "val_accuracy"}\n'
    keys += 'keys |= {"budget": 3, "space": {"epochs": 3, "batch_size": [16, 32]}}\n'
    printed = _run_cells(before_training, tmp_path, after=f"{keys}{again}")
    assert re.search(r"^digits finished: 3 trials", printed, re.MULTILINE)
    assert re.search(r"^keras 0\.0$", printed, re.MULTILINE)
    assert printed.endswith("finished\n")
    assert printed.count("maximize val_accuracy over") == 1
    assert (tmp_path / "digits-model" / "model.keras").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebook_page_runs_as_shown(tmp_path: Path) -> None:
    """Every cell of the page runs after those above it."""
    printed = _run_cells(_text(ROOT / "docs/notebook.md"), tmp_path)
    assert re.findall(r"^(\S+) finished:", printed, re.MULTILINE) == [
        *("digits", "digits-shifted", "digits-cautious", "digits-loop", "flowers")
    ]


def _run_cells(page: str, folder: Path, after: str = "") -> str:
    """Run the Python blocks of a page on standard input, which no worker can import; return what they print."""
    program = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)) + after
    environment = os.environ | {"KERASTUDY_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(
        [sys.executable, "-"], input=program, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _write_shown_code(page: Path, folder: Path) -> None:
    """Write each Python block that opens with its file's name."""
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", _text(page), re.DOTALL):
        (folder / name).write_text(code, encoding="utf-8")


def _kerastudy(settings: dict[str, str], *words: str) -> str:
    done = kerastudy_here(*words, cwd=ROOT, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _sections(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        for found in _models_in(field.annotation):
            section = f"{path}{field.alias or name}"
            yield section
            yield from _sections(found, f"{section}.")


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code forges make them."""
    headings = re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _verbs() -> dict[str, click.Command]:
    return {name: verb for name, verb in cli.commands.commands.items() if not verb.hidden}


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def _write_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "scripts/write_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
