"""GraphQL queries that MLflow's pages send, and no others: MLflow fails with status 500 at what is no query.

A query has one of the four root fields that the pages have, and fields of MLflow's schema; no fragment, alias or field
twice, of which the pages have none and which make a short query a long answer. The schema stands in
`templates/mlflow.graphql`, since MLflow is not imported here; a test compares it with the installed MLflow's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from search_spaces.errors import InputError

# 0.1 s of CPU, at the first query and not at the start of the service.
if TYPE_CHECKING:
    from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, SelectionSetNode

ROUTE: Final = "/graphql"
"""Route of MLflow that takes GraphQL."""

_LONGEST: Final = 8 * 1024  # characters of a query; the longest of a page has 1,900 with Apollo's type names
_MOST_FIELDS: Final = 250  # the pages' queries have 81 at most
_DEEPEST: Final = 10  # MLflow's limit; the pages' queries have 6
_MOST_PROBLEMS: Final = 3
# Apollo, the client in MLflow's pages, may send `extensions`, which MLflow does not read.
_KEYS: Final = frozenset(("query", "variables", "operationName", "extensions"))


def check_query(body: bytes) -> bytes:
    """Return the body to forward: a query with its variables, and nothing else.

    Args:
        body: a JSON object, as `check_json` has found.

    Raises:
        InputError: if it is no query of the kind that MLflow's pages send.
    """
    sent: dict[str, Any] = json.loads(body)
    if unknown := sorted(sent.keys() - _KEYS):
        raise InputError(f"body: expected query, variables and operationName, got {_quote(unknown[0])}")
    query, variables, name = sent.get("query"), sent.get("variables"), sent.get("operationName")
    if not isinstance(query, str):
        raise InputError(f"query: expected text, got {type(query).__name__}")
    if not isinstance(variables, dict | None):
        raise InputError(f"variables: expected an object, got {type(variables).__name__}")
    operation = _find_operation(_parse(query))
    if name is not None and (operation.name is None or name != operation.name.value):
        raise InputError("operationName: expected the name of the query, or none")
    _check_variables(operation, variables or {})
    return json.dumps({"query": query, "variables": variables, "operationName": name}).encode()


def _parse(query: str) -> DocumentNode:
    from graphql import GraphQLSyntaxError, parse, validate

    if len(query) > _LONGEST:
        raise InputError(f"query: expected at most {_LONGEST:,} characters, got {len(query):,}")
    try:
        document = parse(query)
    except GraphQLSyntaxError as error:
        at = f"{error.locations[0].line}:{error.locations[0].column}" if error.locations else "1:1"
        raise InputError(f"query: {at}: {_shorten(error.message)}") from None
    except RecursionError:
        raise InputError(f"query: expected at most {_DEEPEST} levels") from None
    # Before the validation, whose time would grow with the square of fields of one name.
    _check_shape(_find_operation(document).selection_set)
    _raise_problems(validate(_read_schema(), document, max_errors=_MOST_PROBLEMS))
    return document


def _find_operation(document: DocumentNode) -> OperationDefinitionNode:
    from graphql import OperationDefinitionNode, OperationType

    found = document.definitions
    operation = found[0] if len(found) == 1 else None
    if not isinstance(operation, OperationDefinitionNode) or operation.operation is not OperationType.QUERY:
        raise InputError("query: expected one query, without fragments, mutations and subscriptions")
    return operation


def _check_shape(selected: SelectionSetNode) -> None:
    """Check that fields are few, each stands once, and the root field is one that MLflow's pages send."""
    from graphql import FieldNode

    count = 0
    for level, each in _walk(selected):
        count += len(each.selections)
        fields = [field for field in each.selections if isinstance(field, FieldNode) and not field.alias]
        if len({field.name.value for field in fields}) < len(each.selections):
            raise InputError("query: expected each field once, without aliases and fragments")
        if level > _DEEPEST or count > _MOST_FIELDS:
            raise InputError(f"query: expected at most {_DEEPEST} levels and {_MOST_FIELDS} fields")
    # Not `__schema` and `__type`, which show the schema at any length.
    known = sorted(_read_schema().query_type.fields)  # type: ignore[union-attr]  # the file has a query type
    roots = {each.name.value for each in selected.selections if isinstance(each, FieldNode)} - {"__typename"}
    if len(roots) != 1 or not roots <= set(known):
        raise InputError(f"query: expected one of the fields {', '.join(known)}")


def _walk(selected: SelectionSetNode) -> Iterator[tuple[int, SelectionSetNode]]:
    """Yield each selection with its level, from 1."""
    open_sets = [(1, selected)]
    while open_sets:
        level, each = open_sets.pop()
        yield level, each
        # Below fields alone: a fragment is refused by now.
        below = (getattr(field, "selection_set", None) for field in each.selections)
        open_sets += [(level + 1, further) for further in below if further is not None]


def _check_variables(operation: OperationDefinitionNode, variables: dict[str, Any]) -> None:
    from graphql.execution.values import get_variable_values

    try:
        found = get_variable_values(_read_schema(), operation.variable_definitions, variables, _MOST_PROBLEMS)
    except RecursionError:
        raise InputError("variables: their values are nested deeper than can be read") from None
    if isinstance(found, list):
        _raise_problems(found)
    known = {each.variable.name.value for each in operation.variable_definitions}
    if unknown := sorted(variables.keys() - known):
        raise InputError(f"variables: the query has no variable {_quote(unknown[0])}")


def _raise_problems(found: list[GraphQLError]) -> None:
    if found:
        raise InputError(f"query: {'; '.join(_shorten(each.message) for each in found[:_MOST_PROBLEMS])}")


@cache
def _read_schema() -> GraphQLSchema:
    from graphql import build_schema

    return build_schema(files("pipelines.service").joinpath("templates", "mlflow.graphql").read_text("utf-8"))


def _quote(text: str) -> str:
    return json.dumps(_shorten(text))


def _shorten(text: str) -> str:
    # What was sent may be long, and is repeated in messages.
    return text if len(text) <= 300 else f"{text[:300]}..."
