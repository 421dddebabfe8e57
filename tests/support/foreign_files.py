"""Other tools' files in tests: read from text, and what a space of ours looks like where a format cannot say all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from search_spaces.errors import InputError
from search_spaces.foreign.base import ExportResult, Format, ImportResult
from search_spaces.parameters import Categorical, Fixed, Parameter
from search_spaces.space import Space
from search_spaces.yaml_reader import parse_document


def imported(form: Format, text: str, file: str = "foreign.yaml") -> ImportResult:
    """Return what a format reads from text, which it must recognise."""
    document = parse_document(text, file)
    assert form.recognises(document)
    return form.read(document)


def refusal(form: Format, text: str, file: str = "foreign.yaml") -> str:
    """Return the message with which a format refuses text."""
    with pytest.raises(InputError) as caught:
        form.read(parse_document(text, file))
    return str(caught.value)


def there_and_back(form: Format, space: Space) -> Space:
    """Return a space written in a format and read again."""
    return imported(form, form.write(space).text).space


def notes_of(result: ImportResult | ExportResult) -> str:
    """Return all notes as one text."""
    return "\n".join(map(str, result.notes))


def as_json(value: object) -> str:
    """Return JSON text."""
    return json.dumps(value)


def plain(space: Space) -> Space:
    """Return a space without what only we have: defaults, conditions, constraints, points; one choice is fixed."""
    return Space(tuple(_plain(parameter) for parameter in space.declared))


def _plain(parameter: Parameter) -> Parameter:
    if isinstance(parameter, Categorical) and len(parameter.choices) == 1:
        return Fixed(parameter.name, parameter.choices[0])
    if isinstance(parameter, Categorical):
        # A Boolean of KerasTuner's has no order.
        choices = (True, False) if set(map(str, parameter.choices)) == {"True", "False"} else parameter.choices
        return Categorical(parameter.name, choices)
    return replace(parameter, when=()) if isinstance(parameter, Fixed) else replace(parameter, default=None, when=())
