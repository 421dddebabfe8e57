"""GraphQL reaches MLflow only as its pages send it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from pipelines.service.mlflow.graphql_queries import check_query
from search_spaces.errors import InputError

RUN = "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runName } } } }"
RUNS = "query SearchRuns($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) { runs { info { runId } } } }"


def check(query, variables=None, **more):
    """Return the forwarded body."""
    sent = {"query": query, **({} if variables is None else {"variables": variables}), **more}
    return json.loads(check_query(json.dumps(sent).encode()))


def refuse(query, variables=None, **more):
    """Return the reason of a refusal."""
    with pytest.raises(InputError) as caught:
        check(query, variables, **more)
    return str(caught.value)


@pytest.fixture(scope="module")
def pages():
    """The queries in the scripts of the installed MLflow's pages."""
    root = Path(importlib.util.find_spec("mlflow").origin).parent / "server/js/build/static/js"
    texts = (file.read_text(encoding="utf-8") for file in root.rglob("*.js"))
    return [query for text in texts for query in re.findall(r"`(\s*(?:query|mutation) \w+\(\$[^`]*)`", text)]


def test_every_query_of_mlflow_s_pages_passes(pages):
    """With the type names that Apollo adds to each selection."""
    assert sorted(re.findall(r"query (\w+)", "".join(pages))) == [
        "GetMetricHistoryBulkInterval", "GetRun", "MlflowGetExperimentQuery", "SearchRuns",
    ]  # fmt: skip
    for query in pages:
        (variable,) = re.findall(r"\(\$(\w+):", query)
        sent = re.sub(r"(?<=[\w)]) \{(?!\s*(?:mlflow|__typename))", " { __typename", query)
        assert sent.count("__typename") >= 3
        found = check(sent, {variable: {}}, operationName=re.findall(r"query (\w+)", query)[0], extensions={})
        assert found["query"] == sent


def test_only_what_was_checked_is_forwarded():
    """A key given twice has one reading."""
    body = json.dumps({"query": "{", "variables": {"data": {"runId": "r"}}, "extensions": {"a": 1}})[:-1]
    found = json.loads(check_query(f'{body}, "query": {json.dumps(RUN)}}}'.encode()))
    assert found == {"query": RUN, "variables": {"data": {"runId": "r"}}, "operationName": None}


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        (None, "expected text, got NoneType"),
        (7, "expected text, got int"),
        ([RUN], "expected text, got list"),
        ("", "1:1: Syntax Error"),
        ("{ mlflowGetRun", "1:15: Syntax Error"),
        ("\x00", "1:1: Syntax Error"),
        ("\ud800", "1:1: Syntax Error"),
        ("{ mlflowGetRun(input: {runId: 'r'}) { run } }", "Syntax Error"),
    ],
)
def test_what_is_no_query_is_refused(query, hint):
    """MLflow would fail at it with status 500."""
    assert hint in refuse(query)


@pytest.mark.parametrize(
    "query",
    [
        "mutation { mlflowSearchRuns(input: {}) { runs { info { runId } } } }",
        "subscription { mlflowGetRun { run { info { runId } } } }",
        "{ ...F } fragment F on Query { ...F }",
        "{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }",
        f"{RUN} {RUN.replace('GetRun(', 'Other(', 1)}",
        "type A { a: Int }",
    ],
)
def test_one_query_stands_alone(query):
    """No mutation, subscription, fragment or second query."""
    assert "expected one query" in refuse(query)


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { types { name } } }",
        '{ __type(name: "Query") { name } }',
        "{ __typename }",
        '{ test(inputString: "a") { output } }',
        "{ mlflowListArtifacts(input: {}) { files { path } } }",
        "{ mlflowGetRun { apiError { code } } mlflowSearchRuns { apiError { code } } }",
    ],
)
def test_the_schema_and_other_fields_are_closed(query):
    """Introspection and what no page sends, also beside what one sends."""
    assert "expected one of the fields mlflowGetExperiment" in refuse(query)


@pytest.mark.parametrize(
    "query",
    [
        "{ a: mlflowGetRun { run { info { runId } } } b: mlflowGetRun { run { info { runId } } } }",
        "{ mlflowGetRun { run { info { a: runId } } } }",
        "{ mlflowGetRun { ... { run { info { runId } } } } }",
        "{ mlflowGetRun { run { ...F } } }",
        "{ mlflowGetRun {" + " run { info { runId } }" * 200 + "} }",
    ],
)
def test_a_short_query_is_no_long_answer(query):
    """No alias, no fragment, no field twice."""
    assert "expected each field once" in refuse(query)


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        (f'{{ mlflowGetRun(input: {{runId: "{"r" * 9000}"}}) {{ run {{ info {{ runId }} }} }} }}', "8,192 charact"),
        ("{ mlflowGetRun {" + " ".join(f"f{number}" for number in range(300)) + "} }", "and 250 fields"),
        ("{ a " * 12 + "}" * 12, "at most 10 levels"),
        ("{a" * 2500 + "}" * 2500, "deep|levels"),
        ("{ mlflowGetRun(input: " + "[" * 3000 + "]" * 3000 + ") { run { info { runId } } } }", "deep|levels"),
    ],
)
def test_a_query_has_limits(query, hint):
    """In its length, its fields and its levels."""
    assert re.search(hint, refuse(query))


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("{ mlflowGetRun { run { nothing } } }", "Cannot query field 'nothing'"),
        ("{ mlflowGetRun { run } }", "must have a selection"),
        ("{ mlflowGetRun(input: {runId: 7}) { run { info { runId } } } }", "String cannot represent"),
        ("{ mlflowGetRun(id: 7) { run { info { runId } } } }", "Unknown argument 'id'"),
        (RUN.replace("MlflowGetRunInput", "String"), "of type 'String!' used in position"),
        (RUN.replace("MlflowGetRunInput", "Nothing"), "Unknown type 'Nothing'"),
        ("{ mlflowGetRun { run { info { runId @nothing } } } }", "Unknown directive '@nothing'"),
        ("{ mlflowGetRun @skip(if: $a) { run { info { runId } } } }", "Variable '$a' is not defined"),
    ],
)
def test_a_query_has_the_fields_and_types_of_mlflow(query, hint):
    """The answer names what does not fit."""
    assert hint in refuse(query, {"data": {}} if "$data" in query else None)


@pytest.mark.parametrize(
    ("query", "variables", "hint"),
    [
        (RUN, None, "'$data' of required type"),
        (RUN, {}, "'$data' of required type"),
        (RUN, {"data": None}, "must not be null"),
        (RUN, [1], "variables: expected an object, got list"),
        (RUN, "data", "variables: expected an object, got str"),
        (RUN, {"data": "r"}, "to be a mapping"),
        (RUN, {"data": {"runId": 7}}, "String cannot represent"),
        (RUN, {"data": {"id": "r"}}, "Field 'id' is not defined"),
        (RUN, {"data": {}, "more": 1}, 'no variable "more"'),
        (RUNS, {"data": {"maxResults": 2**31}}, "Int cannot represent"),
        (RUNS, {"data": {"maxResults": "many"}}, "Int cannot represent"),
        (RUNS, {"data": {"runViewType": "SOME"}}, "does not exist in 'MlflowViewType'"),
        (RUNS, {"data": {"experimentIds": [["1"]]}}, "String cannot represent"),
    ],
)
def test_variables_fit_the_query(query, variables, hint):
    """All that it needs, and of its types."""
    assert hint in refuse(query, variables)


def test_the_name_is_the_query_s():
    """MLflow would fail at a name that is none of the document's."""
    assert "operationName: expected" in refuse(RUN, {"data": {}}, operationName="Other")
    assert "operationName: expected" in refuse(RUN, {"data": {}}, operationName=7)
    assert 'got "batch"' in refuse(RUN, {"data": {}}, batch=[])


def test_a_refusal_is_short():
    """It repeats little of what was sent."""
    assert len(refuse(RUN, {"data": {"n" * 5000: "v" * 5000}})) < 1000
