"""Registry of other tools' formats: found by name, or by the marks of a file."""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.errors import InputError, suggest_choice
from search_spaces.foreign import katib, keras_tuner, nni, optuna, wandb
from search_spaces.foreign.base import Format
from search_spaces.yaml_document import Document

_FORMATS: tuple[Format, ...] = (keras_tuner, wandb, katib, nni, optuna)
FORMATS: Mapping[str, Format] = {known.NAME: known for known in _FORMATS}

_OURS = ("float", "int", "categorical", "fixed")


def find_format(name: str) -> Format:
    """Return the format of a name.

    Raises:
        InputError: if there is none.
    """
    if name not in FORMATS:
        raise InputError(f'there is no format "{name}"; {suggest_choice(name, FORMATS)}')
    return FORMATS[name]


def detect_format(document: Document) -> Format:
    """Return the format that a document looks like.

    Raises:
        InputError: if it looks like none; the message lists the marks of each format.
    """
    if found := next((known for known in _FORMATS if known.recognises(document)), None):
        return found
    if _is_ours(document):
        message = "this is kerastudy's own way to write a space already; name the file behind `extends`"
        raise InputError(document.make_problem((), message))
    tried = "".join(f"\n  {known.NAME}: {known.LOOKS_LIKE}" for known in _FORMATS)
    message = f"this looks like none of the formats that can be imported; --format names one. Looked for:{tried}"
    raise InputError(document.make_problem((), message))


def _is_ours(document: Document) -> bool:
    if isinstance(document.data.get("space"), dict) or "study" in document.data or "extends" in document.data:
        return True
    return any(isinstance(entry, dict) and entry.get("type") in _OURS for entry in document.data.values())
