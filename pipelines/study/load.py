"""Loading of a study file: every check that needs neither data nor a model.

All problems of a file are reported together, in the order of the file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.models import catalogue, objectives
from pipelines.spec.code_references import is_reference, split_reference
from pipelines.spec.error_messages import Keys, list_spec_problems, split_keys
from pipelines.spec.schema import StudySpec
from pipelines.study.objective import find_objective_problems
from pipelines.study.problem_places import locate_problem, sort_problems
from pipelines.study.study import Study
from search_spaces.errors import InputError, Problem, suggest_choice
from search_spaces.parse import RESERVED, parse_space
from search_spaces.schema import make_space_schema
from search_spaces.space import Space
from search_spaces.yaml_document import Document, make_document
from search_spaces.yaml_reader import parse_document, read_document

_MOST_HINTS = 20  # a file with more unknown names is no study file of this family

Written = str | Path | Mapping[str, Any]
"""A study file: its path, its text, or its keys."""


def load_study(written: Written, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        written: a YAML or JSON file, text of one, or a mapping with its keys.
        overrides: `KEY=VALUE` pairs with dotted keys, such as `space.l2.high=1e-3`; values are YAML.

    Raises:
        InputError: with every problem of the file.
    """
    document, folder = read_written(written)
    return check_document(_override_document(document, overrides), folder, with_code=True)


def read_written(written: Written) -> tuple[Document, Path]:
    """Return the content of a study file, and the folder that its relative paths start from.

    That folder is the file's; the current one for text, which has a line break or begins with a brace, and a mapping.

    Raises:
        InputError: if it cannot be read.
    """
    if isinstance(written, Mapping):
        return make_document(written, str(written.get("study", "study"))), Path.cwd()
    if isinstance(written, str) and ("\n" in written.strip() or written.lstrip().startswith("{")):
        return parse_document(textwrap.dedent(written), "study"), Path.cwd()
    if not isinstance(written, str | Path):
        raise InputError(f"expected a study file's path, text or keys, got {type(written).__name__}")
    file = Path(written)
    return read_document(file), file.parent.resolve()


def check_document(document: Document, base: Path, *, with_code: bool = False) -> Study:
    """Check a parsed study file; see `load_study`.

    Args:
        document: the parsed file.
        base: folder that relative paths start from.
        with_code: whether the file of a user model must exist.

    Raises:
        InputError: with every problem of the file.
    """
    problems: list[Problem] = []
    spec = _check_spec(document, problems)
    family = _find_family(document, base, problems, with_code=with_code)
    space = _parse_space(document, base, family, problems)
    if family:
        problems += _find_incompatibilities(document, family, space)
    problems += _find_weights_problems(document, base if with_code else None)
    problems += [locate_problem(document, each) for each in find_objective_problems(document)]
    if problems or spec is None or space is None:
        raise InputError(sort_problems(document, problems))
    return Study(spec, space, base, document)


def _check_spec(document: Document, problems: list[Problem]) -> StudySpec | None:
    try:
        return StudySpec.model_validate(document.data)
    except ValidationError as error:
        problems += list_spec_problems(document, error)
        return None


def _find_family(
    document: Document, base: Path, problems: list[Problem], *, with_code: bool
) -> catalogue.Family | None:
    """Return the shipped family of that name; None for a user model."""
    name = document.data.get("model")
    if not isinstance(name, str) or not name:
        return None  # the check of the spec reports that
    if is_reference(name):
        try:
            split_reference(name, base if with_code else None, "model")
        except InputError as error:
            problems += [locate_problem(document, problem) for problem in error.problems]
    elif name not in catalogue.FAMILIES:
        message = (
            f'no model family is called "{name}"; {suggest_choice(name, catalogue.FAMILIES)}, or "file.py:function"'
        )
        problems.append(document.make_problem(("model",), message))
    return catalogue.FAMILIES.get(name)


def _parse_space(
    document: Document, base: Path, family: catalogue.Family | None, problems: list[Problem]
) -> Space | None:
    if not isinstance(document.data.get("space", {}), dict):
        return None  # the check of the spec reports that
    try:
        family_space = family.default_space if family else None
        return parse_space(document, family_space=family_space, folder=base)
    except InputError as error:
        problems += error.problems
        return None


def _find_incompatibilities(document: Document, family: catalogue.Family, space: Space | None) -> list[Problem]:
    """Check that the model declares each parameter, and allows every value that the space may give it.

    Of a space with problems only the names are checked.
    """
    written = document.data.get("space")
    # Without a space the names alone are known, so that a misspelt name is reported beside other problems.
    names = list(space.parameters if space else written if isinstance(written, dict) else ())
    problems: list[Problem] = []
    for name in names:
        declared = family.find(name)
        if declared is None and name not in RESERVED:
            message = f'the model "{family.name}" declares no "{name}"'
            if len(problems) < _MOST_HINTS:
                message += f"; {suggest_choice(name, [each.name for each in family.parameters])}"
            problems.append(document.make_key_problem(("space", name), message))
        elif declared is not None and space is not None:
            checked = ((value, declared.find_problem(value)) for value in space.parameters[name].bounds)
            if found := next(((value, problem) for value, problem in checked if problem), None):
                problems.append(document.make_problem(_find_keys(document, name, found[0]), found[1]))
    return problems


def _find_weights_problems(document: Document, base: Path | None) -> list[Problem]:
    """Check that the model reads a file of weights, and that it exists where the folder is known."""
    keys, model = ("training", "weights"), document.data.get("model")
    written = document.get(keys)
    if not isinstance(written, str):
        return []  # the check of the spec reports what is no text
    if model != "transfer":
        message = f'only the family "transfer" reads weights from a file, and the model is {model}; remove this key'
        return [document.make_problem(keys, message)]
    if base is not None and not (base / written).is_file():
        return [document.make_problem(keys, f"there is no file {written} in {base}; expected weights without the top")]
    return []


def _find_keys(document: Document, name: str, value: object) -> Keys:
    """Return the keys to a value that a space gives a parameter: to the choice or bound itself, if the file has it."""
    keys: Keys = ("space", name)
    written = document.get(keys)
    if isinstance(written, dict) and isinstance(written.get("choices"), list):
        keys, written = (*keys, "choices"), written["choices"]
    items = written.items() if isinstance(written, dict) else enumerate(written) if isinstance(written, list) else ()
    return next(((*keys, key) for key, item in items if item is value or item == value), keys)


def _override_document(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with `KEY=VALUE` pairs set; the place of their problems is the command line."""
    for written in overrides:
        where = f"--set {' '.join(written.split())}"
        key, equals, value = (part.strip() for part in written.partition("="))
        keys = split_keys(document.data, key)
        if not equals or not keys or "" in keys:
            raise InputError(f"{where}: expected KEY=VALUE with a dotted key, such as budget.trials=5")
        document = document.replace_value(keys, _parse_value(value, where), where)
    return document


def _parse_value(written: str, where: str) -> object:
    try:
        # As in a file, so that `--set x=1e-3` is a number there too.
        data = parse_document(f"value: {written}", where).data
    except InputError as error:
        raise InputError(f"{where}: {error.problems[0].message}") from None
    if len(data) > 1:
        raise InputError(f"{where}: expected one value, got several lines; write --set once for each key")
    return data["value"]


def build_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of study files."""
    whole = StudySpec.model_json_schema(by_alias=True)
    # The space has another grammar than pydantic's, and names are known to the catalogue only.
    properties = {**whole["properties"], "space": make_space_schema()}
    properties["model"] = {**properties["model"], "anyOf": [{"enum": list(catalogue.FAMILIES)}, {"pattern": ":"}]}
    trains = whole["$defs"]["TrainingSpec"]["properties"]
    trains["loss"]["anyOf"][0]["enum"] = objectives.list_losses()
    for key in ("metrics", "weighted_metrics"):
        trains[key]["items"]["enum"] = objectives.list_metrics()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "properties": properties}
