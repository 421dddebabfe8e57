"""The verbs `spaces` and `import-space`, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import commands
from search_spaces.errors import InputError
from search_spaces.foreign.formats import FORMATS
from search_spaces.parse import parse_space
from search_spaces.shipped_spaces import list_shipped, read_shipped_text
from search_spaces.yaml_reader import parse_document, read_document

SWEEP = (
    "method: bayes\nparameters:\n  lr: {distribution: log_uniform_values, min: 1e-4, max: 0.1}\n  epochs: {value: 5}\n"
)
STUDY = "study: mine\ndata: {source: 'sklearn:iris'}\nmodel: mlp\nspace: {extends: mlp, drop: [l2], depth: 2}\n"


def kerastudy(*words: object) -> Result:
    return CliRunner().invoke(commands, [str(word) for word in words])


def refusal(*words: object) -> str:
    result = kerastudy(*words)
    assert isinstance(result.exception, InputError)
    assert result.stdout == ""
    return str(result.exception)


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_spaces_lists_what_is_shipped():
    """Without a name every shipped space is listed, with what it is for."""
    table = kerastudy("spaces")
    rows = json.loads(kerastudy("spaces", "--json").stdout)
    assert [row["name"] for row in rows] == list(list_shipped())
    assert all(name in table.stdout for name in list_shipped())
    assert all(row["about"].endswith(".") and row["parameters"] > 0 for row in rows)


def test_a_shipped_space_is_printed_as_written():
    """With its name a shipped space is printed, the comments on where its ranges come from included."""
    assert kerastudy("spaces", "mlp").stdout == read_shipped_text("mlp")


def test_the_space_of_a_study_is_printed_in_full(tmp_path):
    """Of a study file the space is printed with all that it extends, as YAML or JSON that is read again."""
    file = written(tmp_path, "study.yaml", STUDY)
    found = parse_space(parse_document(kerastudy("spaces", file).stdout, "printed.yaml"), ())
    assert found.parameters["depth"].bounds == (2,)
    assert "units" in found.names
    assert "l2" not in found.names
    assert json.loads(kerastudy("spaces", file, "--json").stdout) == found.to_dict()


@pytest.mark.parametrize(
    "text", ["lr: {type: float, low: 0.1, high: 1.0}", "space: {lr: {type: float, low: 0.1, high: 1.0}}"]
)
def test_a_file_that_holds_a_space_alone_will_do(tmp_path, text):
    """A space shared by several studies can be printed and exported too."""
    file = written(tmp_path, "space.yaml", text)
    exported = json.loads(kerastudy("spaces", file, "--export", "nni").stdout)
    assert exported == {"lr": {"_type": "uniform", "_value": [0.1, 1.0]}}


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_can_be_imported(tmp_path, name):
    """What --export prints is a file that import-space reads, and recognises its format."""
    exported = kerastudy("spaces", "mlp", "--export", name)
    file = written(tmp_path, "exported.json" if exported.stdout.startswith("{") else "exported.yaml", exported.stdout)
    again = kerastudy("import-space", file)
    assert again.exit_code == 0
    assert "note: " in exported.stderr
    assert "learning_rate" in parse_document(again.stdout, "ours.yaml").data


def test_an_import_is_a_file_to_extend(tmp_path):
    """The imported space goes to standard output alone, so that a study can extend the file that it is put into."""
    result = kerastudy("import-space", written(tmp_path, "sweep.yaml", SWEEP))
    written(tmp_path, "imported.yaml", result.stdout)
    study = written(tmp_path, "study.yaml", "space: {extends: imported.yaml}\n")
    assert parse_space(read_document(study)).names == ("lr", "epochs")
    assert result.stdout.startswith("# From sweep.yaml (W&B).\n")
    assert result.stderr.startswith("note: ")
    assert "sweep.yaml:1:9: method: is no part of a space" in result.stderr


def test_a_format_that_is_named_is_taken(tmp_path):
    """--format overrides what a file looks like: its problems are reported then."""
    file = written(tmp_path, "sweep.yaml", SWEEP)
    assert kerastudy("import-space", file, "--format", "wandb").exit_code == 0
    assert "expected a list of at least one item" in refusal("import-space", file, "--format", "katib")
    assert 'did you mean "wandb"' in refusal("import-space", file, "--format", "wandbb")


def test_bad_input_is_an_error(tmp_path):
    """An unknown or unreadable space is an error with its place or the nearest name; nothing is printed."""
    assert 'did you mean "mlp"' in refusal("spaces", "mpl")
    assert "there is no such file" in refusal("spaces", tmp_path / "none.yaml")
    assert 'did you mean "optuna"' in refusal("spaces", "mlp", "--export", "optune")
    assert "--export: expected the name of a space or a file" in refusal("spaces", "--export", "nni")
    assert "expected no --json beside it" in refusal("spaces", "mlp", "--export", "nni", "--json")
    assert "broken.json:1:2: this is not valid JSON" in refusal("import-space", written(tmp_path, "broken.json", "{a"))
    assert "looks like none of the formats" in refusal("import-space", written(tmp_path, "odd.yaml", "a: 1"))
    low = written(tmp_path, "low.yaml", "lr: {type: float, low: 2.0, high: 1.0}")
    assert "low.yaml:1:1: lr: low < high must hold" in refusal("spaces", low)
