"""JSON bodies of requests that read in MLflow: it fails with status 500 at one that is no object."""

from __future__ import annotations

import json
from typing import NoReturn

from search_spaces.errors import InputError


def check_json(body: bytes) -> None:
    """Check that a body is a JSON object, as all of MLflow's API takes.

    Raises:
        InputError: if it is not.
    """
    try:
        found = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError("body: its values are nested deeper than can be read") from None
    except ValueError as error:
        raise InputError(f"body: expected a JSON object, got no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"body: expected a JSON object, got {type(found).__name__}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
