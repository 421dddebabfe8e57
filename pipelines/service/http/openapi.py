"""Description of the HTTP API: FastAPI's, with the schema of study files; and the parameters that each route takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipelines.study.load import build_schema

STUDY_FILE: Final = "StudyFile"
"""Name of the schema of study files among the components."""

_METHODS: Final = ("get", "put", "post", "delete", "patch")


def add_study_file(described: dict[str, Any]) -> dict[str, Any]:
    """Return a description with the schema of study files and of its sections, `StudyFile...`."""
    whole = _move_references(dict(build_schema()))
    sections = whole.pop("$defs")
    whole.pop("$schema")
    schemas = described["components"]["schemas"]
    schemas[STUDY_FILE] = whole
    schemas.update({f"{STUDY_FILE}{name}": section for name, section in sections.items()})
    return described


def list_parameters(described: Mapping[str, Any]) -> dict[tuple[str, str], frozenset[str]]:
    """Return the names of the query parameters of each route, by its method and its path."""
    return {
        (method.upper(), path): frozenset(
            each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"
        )
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if method in _METHODS
    }


def _move_references(schema: Any) -> Any:
    """Return a schema whose references lead to the components of the description."""
    if isinstance(schema, dict):
        return {
            key: f"#/components/schemas/{STUDY_FILE}{value.rpartition('/')[2]}"
            if key == "$ref" and isinstance(value, str)
            else _move_references(value)
            for key, value in schema.items()
        }
    return [_move_references(each) for each in schema] if isinstance(schema, list) else schema
