"""Study files: what is read from them, and every refusal with its place, what was expected, got and meant."""

import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from pipelines.study.load import build_schema, check_document, load_study
from pipelines.study.objective import Objective
from search_spaces.errors import InputError
from search_spaces.yaml_document import make_document

HEAD = "study: s\ndata: {source: d.csv}\nmodel: mlp\n"
ROOT = Path(__file__).parents[3]


def refusals(folder: Path, text: str, overrides=()) -> list[str]:
    """Return what a file with this text is refused with, a line for each problem."""
    file = folder / "s.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        load_study(file, overrides)
    return str(refused.value).replace(f"{folder}{os.sep}", "").splitlines()


def cases() -> Iterator[pytest.ParameterSet]:
    """Yield each file of `refused_study_files.txt`, the place that it marks, and what is said there."""
    for case in Path(__file__).with_name("refused_study_files.txt").read_text().split("\n--- ")[1:]:
        name, _, rest = case.partition("\n")
        text, *said = rest.strip().split("\n=> ")
        whole = (text if text.lstrip("@").startswith("study:") else HEAD + text) + "\n"
        before = whole.partition("@")[0].split("\n")
        place = f"s.yaml:{len(before)}:{len(before[-1]) + 1}"
        yield pytest.param(whole.replace("@", "", 1), [f"{place}: {line}" for line in said], id=name)


@pytest.mark.parametrize(("text", "said"), list(cases()))
def test_what_is_refused(tmp_path, text, said):
    """Each bad file is refused with place, key, what was expected, what was got and the nearest right word."""
    assert refusals(tmp_path, text) == said


def test_deep_nesting(tmp_path):
    """Brackets that no study needs are refused where they become too deep."""
    found = refusals(tmp_path, f"{HEAD}space: {'[' * 5000}{']' * 5000}\n")
    assert found == ["s.yaml:4:47: nested deeper than 40 levels, which no study needs"]


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "a b", "", ".hidden", "x" * 101, "café"])
def test_a_name_is_no_path(tmp_path, name):
    """A study's name becomes a folder's: path parts, blanks and the like are refused."""
    (found,) = refusals(tmp_path, HEAD.replace("study: s", f'study: "{name}"'))
    assert found.startswith("s.yaml:1:8: study: expected a name of up to 100 letters, digits, dots, dashes")


def test_a_file_of_weights(tmp_path):
    """It must exist, for the family that reads one; without it that family gets a note."""
    weights = "training: {weights: w.weights.h5}\n"
    assert 'only the family "transfer" reads weights from a file' in refusals(tmp_path, HEAD + weights)[0]
    head = HEAD.replace("model: mlp", "model: transfer")
    assert "training.weights: there is no file w.weights.h5 in" in refusals(tmp_path, head + weights)[0]
    (tmp_path / "w.weights.h5").write_bytes(b"1")
    (tmp_path / "s.yaml").write_text(head + weights)
    study = load_study(tmp_path / "s.yaml")
    assert (study.training.weights, study.list_notes()) == (str((tmp_path / "w.weights.h5").resolve()), ())
    before = study.compute_fingerprint()
    (tmp_path / "w.weights.h5").write_bytes(b"2")
    assert study.compute_fingerprint() != before
    (tmp_path / "s.yaml").write_text(head)
    assert "random weights" in load_study(tmp_path / "s.yaml").list_notes()[0].message


def test_an_unknown_model(tmp_path):
    """An unknown family names the nearest, and the form of one's own."""
    (found,) = refusals(tmp_path, HEAD.replace("model: mlp", "model: mpl"))
    assert found.startswith('s.yaml:3:8: model: no model family is called "mpl"; did you mean "mlp"?')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty; expected a mapping such as `study: my-study`"),
        ("# nothing\n", "1:1: the file is empty; expected a mapping such as `study: my-study`"),
        ("hello\n", '1:1: expected a mapping (`key: value` lines) at the top level, got the text "hello"'),
        ("- a\n", "1:1: expected a mapping (`key: value` lines) at the top level, got a list"),
        ("study: s\n\tmodel: mlp\n", "2:1: a tab stands where spaces are expected; indent with spaces"),
        (HEAD + "---\n" + HEAD, "4:1: a second document begins at `---`; expected one document in a file"),
    ],
)
def test_files_that_are_no_study(tmp_path, text, said):
    """What is no mapping, or no YAML, is refused at its first line that is wrong."""
    assert refusals(tmp_path, text) == [f"s.yaml:{said}"]


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path):
    """Problems of every check, the space's and the objective's included, are told together from top to bottom."""
    text = """\
        export: {formt: keras}
        objective: {metric: val_acuracy}
        space:
          lerning_rate: 0.1
          depth: {type: int, low: 3, high: 1}
        budget: {trials: 0}
        model: mlp
        data: {source: 3}
        study: a/b
        """
    found = refusals(tmp_path, textwrap.dedent(text))
    assert [line.split(" ")[0] + line.split(" ")[1] for line in found] == [
        "s.yaml:1:10:export.formt:",
        "s.yaml:2:21:objective.metric:",
        "s.yaml:4:3:space.lerning_rate:",
        "s.yaml:5:3:space.depth:",
        "s.yaml:6:18:budget.trials:",
        "s.yaml:8:16:data.source:",
        "s.yaml:9:8:study:",
    ]


def test_a_problem_of_another_file_comes_after(tmp_path):
    """What a space takes over is shown in the file it stands in, after the study file's own problems."""
    (tmp_path / "mine.yaml").write_text("dropout: {type: float, low: 0.5, high: 0.1}\n")
    found = refusals(tmp_path, HEAD + "space: {extends: mine.yaml}\nbudget: {trials: 0}\n")
    assert found == [
        "s.yaml:5:18: budget.trials: expected a number of at least 1, got 0",
        "mine.yaml:1:1: dropout: low < high must hold, got low=0.5, high=0.1; swap them",
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("budget", "expected KEY=VALUE with a dotted key, such as budget.trials=5"),
        ("=3", "expected KEY=VALUE with a dotted key, such as budget.trials=5"),
        ("budget..trials=3", "expected KEY=VALUE with a dotted key, such as budget.trials=5"),
        (
            "budget.trails=3",
            'budget.trails: unknown key "trails"; did you mean "trials"? '
            "The choices are: consecutive_failures, improvement, patience, target, time, trials",
        ),
        ("budget.trials=x", 'budget.trials: expected a whole number, got the text "x"'),
        ("budget.trials=*a", "`*a` stands for a value elsewhere; write the value out"),
        ("study.x=1", '"x" cannot be set inside the text "s"; set the whole key instead'),
        (
            "space.l2={type: float, low: 1.0, high: 0.0}",
            "space.l2: low < high must hold, got low=1.0, high=0.0; swap them",
        ),
        ("space.activation=[relo]", "space.activation[0]: activation cannot be 'relo'; did you mean \"relu\"?"),
    ],
)
def test_bad_overrides(tmp_path, override, said):
    """A problem with `--set` is placed on the command line, not in the file."""
    assert refusals(tmp_path, HEAD, [override]) == [f"--set {override}: {said}"]


def test_an_override_is_one_value(tmp_path):
    """A line break cannot bring in a second key."""
    (found,) = refusals(tmp_path, HEAD, ["budget.trials=3\nstudy: other"])
    assert found.endswith("expected one value, got several lines; write --set once for each key")


def test_overrides_are_taken_in_order(tmp_path):
    """Values are YAML, dotted keys reach into columns with dots in their names, and the last one counts."""
    (tmp_path / "s.yaml").write_text(HEAD.replace("d.csv", "d.csv, columns: {a.b: {type: string}}"))
    overrides = ["budget.trials=5", "budget.trials=6", "data.columns.a.b.type=numeric", "data.target=[x, y]"]
    spec = load_study(tmp_path / "s.yaml", overrides).spec
    assert (spec.budget.trials, spec.data.columns["a.b"].type, spec.data.target) == (6, "numeric", ["x", "y"])


def test_an_override_reaches_into_the_space(tmp_path):
    """One bound of a declared parameter can be set alone."""
    (tmp_path / "s.yaml").write_text(HEAD + "space: {l2: {type: float, low: 1e-6, high: 1e-2, log: true}}\n")
    study = load_study(tmp_path / "s.yaml", ["space.l2.high=1e-3"])
    assert study.space.parameters["l2"].bounds == (1e-6, 1e-3)


def test_unreadable_files(tmp_path):
    """A file that is missing, a folder, or no text is refused by name; a likely one is offered."""
    (tmp_path / "s.yaml").write_bytes(b"study: caf\xe9\n")
    with pytest.raises(InputError, match=r"s\.yaml:1:11: the file is not UTF-8 text"):
        load_study(tmp_path / "s.yaml")
    with pytest.raises(InputError, match=r's\.yml: there is no such file; did you mean ".*s\.yaml"\?'):
        load_study(tmp_path / "s.yml")
    with pytest.raises(InputError, match="expected a file, got a folder; name the YAML file in it"):
        load_study(tmp_path)


def test_the_objective_follows_from_the_task(tmp_path):
    """What the file leaves open is filled in by the task; what it says must fit it."""
    (tmp_path / "s.yaml").write_text(HEAD)
    study = load_study(tmp_path / "s.yaml")
    assert study.resolve_objective("binary") == Objective("val_accuracy", "maximize")
    assert study.resolve_objective("regression") == Objective("val_root_mean_squared_error", "minimize")
    (tmp_path / "s.yaml").write_text(HEAD + "objective: {metric: val_auc}\n")
    study = load_study(tmp_path / "s.yaml")
    with pytest.raises(InputError, match=r's\.yaml:4:21: objective\.metric: "val_auc" scores another task'):
        study.resolve_objective("regression")


def test_the_objective_of_rows_with_weights_is_weighted(tmp_path):
    """A default objective weighs rows as the loss does; a declared one may do either."""
    (tmp_path / "s.yaml").write_text(HEAD)
    study = load_study(tmp_path / "s.yaml")
    assert study.resolve_objective("binary", is_weighted=True) == Objective("val_weighted_accuracy", "maximize")
    for source, metric in (("d.npz", "val_weighted_auc"), ("l.py:load", "val_accuracy")):
        (tmp_path / "s.yaml").write_text(HEAD.replace("d.csv", f'"{source}"') + f"objective: {{metric: {metric}}}\n")
        study = load_study(tmp_path / "s.yaml")
        assert study.resolve_objective("binary", is_weighted=True) == Objective(metric, "maximize")
    (tmp_path / "s.yaml").write_text(HEAD.replace("d.csv", "d.npz") + "training: {loss: dice}\n")
    with pytest.raises(InputError, match=r"s\.yaml:4:18: training\.loss: dice is one number for a whole batch"):
        load_study(tmp_path / "s.yaml").resolve_objective("binary", is_weighted=True)


def test_scores_are_compared_by_direction():
    """Less is better where the objective is minimised, more where it is maximised."""
    assert Objective("val_loss", "minimize").is_better(0.1, 0.2)
    assert not Objective("val_accuracy", "maximize").is_better(0.1, 0.2)


def test_the_schema_is_one():
    """`kerastudy schema` is a valid JSON Schema of the draft that it names."""
    jsonschema.Draft202012Validator.check_schema(build_schema())
    assert build_schema()["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("file", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_example_fits_the_schema_and_is_accepted(file):
    """What an editor checks with the schema and what kerastudy checks agree on the examples."""
    study = load_study(file)
    jsonschema.Draft202012Validator(build_schema()).validate(study.document.data)


@pytest.mark.parametrize(
    "change",
    [
        {"bugdet": {}},
        {"budget": {"trails": 3}},
        {"data": {"source": "d.csv", "split": {"validaton": 0.2}}},
        {"data": {"source": "d.csv", "columns": {"a": {"encodng": "hash"}}}},
        {"training": {"early_stopping": {"patiance": 3}}},
        {"budget": {"trials": 0}},
        {"study": "a/b"},
        {"search": {"sampler": "tpr"}},
        {"training": {"class_weight": {"a": -1}}},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_we_refuse(change):
    """Unknown keys at every depth, and values out of bounds, are errors in the editor too."""
    valid = {"study": "s", "data": {"source": "d.csv"}, "model": "mlp"}
    validator = jsonschema.Draft202012Validator(build_schema())
    assert validator.is_valid(valid)
    assert not validator.is_valid({**valid, **change})


SPACES = {
    "a value": {"depth": 3, "use_bias": True, "activation": "relu"},
    "a list": {"depth": [1, 2], "use_bias": [True, False]},
    "ranges": {
        "depth": {"type": "int", "low": 1, "high": 3, "default": 2},
        "l2": {"type": "float", "low": 1e-8, "high": 1e-2, "log": True},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
    },
    "conditions": {
        "optimizer": {"choices": ["sgd", "adam"]},
        "depth": {"type": "int", "low": 1, "high": 3},
        "units": {"type": "int", "low": 4, "high": 8, "repeat": "depth"},
        "momentum": {"type": "float", "low": 0, "high": 0.9, "when": {"optimizer": ["sgd"]}},
        "dropout": {"value": 0.1, "when": {"depth": ">= 2"}},
    },
    "overrides": {"extends": "mlp", "drop": ["l2"], "depth": {"high": 9}, "constraints": ["depth <= 8"]},
    "points": {"extends": ["mlp-small"], "start_from": [{"depth": 1}]},
    "comparisons": {
        "optimizer": ["sgd", "adam", "lion"],
        "momentum": {"value": 0.5, "when": {"optimizer": {"in": ["sgd"]}}},
        "use_ema": {"value": True, "when": {"optimizer": {"not in": ["adam"]}}},
    },
    "nothing where there is nothing to say": {
        "extends": "mlp",
        **dict.fromkeys(("drop", "constraints", "start_from")),
        "depth": {"default": None, "when": None, "step": None},
        "units": {},
    },
    "log at zero": {"l2": {"type": "float", "low": 0.0, "high": 1.0, "log": True}},
    "no choices": {"depth": []},
    "nothing": {"depth": None},
    "unknown key": {"depth": {"type": "int", "low": 1, "high": 2, "lwo": 1}},
    "unknown type": {"depth": {"type": "integer", "low": 1, "high": 2}},
    "float bounds of an int": {"depth": {"type": "int", "low": 1.5, "high": 2}},
    "text as a number": {"l2": {"type": "float", "low": "1e-4", "high": 1.0}},
    "no high": {"l2": {"type": "float", "low": 1e-4}},
    "nested choices": {"depth": [[1], [2]]},
    "repeated choices": {"depth": [1, 1]},
    "step of zero": {"l2": {"type": "float", "low": 0.1, "high": 1.0, "step": 0}},
    "constraint as a number": {"depth": 1, "constraints": [3]},
    "points as a mapping": {"depth": [1, 2], "start_from": {"depth": 1}},
    "a comparison with a list": {"depth": [1, 2], "units": {"value": 5, "when": {"depth": {">=": [1]}}}},
    "a list of conditions": {"depth": [1, 2], "units": {"value": 5, "when": [{"depth": 1}]}},
    "a factor of one": {"units": {"type": "int", "low": 1, "high": 8, "log": True, "step": 1}},
    "a long text": {"activation": "x" * 501},
    "a number out of all bounds": {"l2": {"type": "float", "low": 0.0, "high": 1e200}},
    "an empty condition": {"optimizer": ["sgd"], "momentum": {"value": 0.5, "when": {"optimizer": []}}},
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_schema_and_the_parser_agree_on_spaces(space):
    """An editor accepts the spaces that we accept, and refuses those that are wrong in one place."""
    written = {"study": "s", "data": {"source": "sklearn:iris"}, "model": "mlp", "space": space}
    try:
        check_document(make_document(written, "s.yaml"), ROOT)
        accepted = True
    except InputError:
        accepted = False
    assert jsonschema.Draft202012Validator(build_schema()).is_valid(written) == accepted


EVERY_KEY = {
    "study": "s",
    "data": {
        "source": "sklearn:iris",
        "target": "y",
        "task": "multiclass",
        "split": {"validation": 0.2, "test": 0.1, "seed": 1, "stratify": True},
        "drop": ["a"],
        "columns": {"b": {"type": "string", "encoding": "hash"}},
        "missing_values": ["?"],
        "image_size": [8, 8],
    },
    "model": "mlp",
    "space": {"depth": {"type": "int", "low": 1, "high": 4, "default": 2}, "units": {"value": 8, "when": {"depth": 2}}},
    "objective": {"metric": "val_loss", "direction": "minimize"},
    "training": {"loss": "poisson", "metrics": ["auc"], "early_stopping": {"patience": 3}, "class_weight": {"0": 1.5}},
    "search": {"sampler": "tpe", "seed": 1},
    "budget": {"trials": 3, "time": "1h 30m", "target": 0.5},
    "limits": {"trial_time": 30, "memory": "4 GB", "parameters": 1000},
    "resources": {"workers": 1, "fleet": "auto"},
    "tracking": {"experiment": "e", "keep_models": 2},
    "export": {"formats": ["keras"], "register": "r"},
}


def replaced(whole, value):
    """Yield the path of each key or item at any depth, and `whole` with `value` in its place."""
    for key, inner in whole.items() if isinstance(whole, dict) else enumerate(whole):
        copy = dict(whole) if isinstance(whole, dict) else list(whole)
        copy[key] = value
        yield (key,), copy
        if isinstance(inner, (dict, list)):
            for path, changed in replaced(inner, value):
                copy[key] = changed
                yield (key, *path), type(copy)(copy)


@pytest.mark.parametrize(
    "value", [None, True, "some text", "", -1, 0.5, 10**400, [], {}, [[1]], {"x": 1}], ids=lambda value: repr(value)[:9]
)
def test_wrong_values_anywhere_are_refused_alike(value):
    """With one value replaced, what we accept the schema accepts; outside of the space it refuses what we refuse."""
    validator = jsonschema.Draft202012Validator(build_schema())
    assert validator.is_valid(EVERY_KEY)
    for path, written in replaced(EVERY_KEY, value):
        try:
            check_document(make_document(written, "s.yaml"), ROOT)
            accepted = True
        except InputError:
            accepted = False
        valid = validator.is_valid(written)
        beyond = path[0] == "space" or path == ("objective", "metric") or value == 10**400
        assert valid == accepted or (valid and beyond), path


def test_every_key_of_the_schema_is_described():
    """An editor can say of each key what it means."""

    def undescribed(part, path):
        for name, key in part.get("properties", {}).items():
            if "description" not in key and "$ref" not in key and "const" not in key.get("type", {}):
                yield f"{path}.{name}"
            yield from undescribed(key, f"{path}.{name}")

    whole = build_schema()
    parts = {"": whole, **whole["$defs"]}
    assert [key for name, part in parts.items() for key in undescribed(part, name)] == []
