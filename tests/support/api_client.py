"""Python client of the service, generated from the description of its API: a method for each operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

_HEAD = '''
class ApiClient:
    """Client of {title} {version}."""

    def __init__(self, http, headers):
        self._http = http
        self._headers = headers

    def _send(self, method, path, query, headers, body):
        query = {{name: value for name, value in query.items() if value is not None}}
        headers = {{name: value for name, value in headers.items() if value is not None}}
        content = {{}} if body is None else {{"json" if isinstance(body, dict) else "content": body}}
        return self._http.request(method, path, params=query, headers={{**self._headers, **headers}}, **content)
'''
_METHOD = """
    def {name}(self{signature}):
        return self._send("{method}", f"{path}", {query}, {headers}, {body})
"""


def write_client(described: Mapping[str, Any]) -> str:
    """Return the source of a module with the class `ApiClient`; its methods are the operations' ids with `_`."""
    parts = [_HEAD.format(**described["info"])]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            parts.append(_write_method(path, method, operation))
    return "".join(parts)


def make_client(described: Mapping[str, Any], http: httpx.Client, headers: Mapping[str, str]) -> Any:
    """Return a client that is generated from a description."""
    module: dict[str, Any] = {}
    exec(compile(write_client(described), "api_client", "exec"), module)  # the text is made above, and shows in errors
    return module["ApiClient"](http, dict(headers))


def _write_method(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parameters = operation.get("parameters", ())
    body = "requestBody" in operation
    required = [each["name"] for each in parameters if each["in"] == "path"] + (["body"] if body else [])
    optional = [_name(each["name"]) for each in parameters if each["in"] != "path"]
    signature = "".join(f", {each}" for each in (*(["*"] if required or optional else []), *required))
    return _METHOD.format(
        name=_name(operation["operationId"].replace(".", "_")),
        signature=signature + "".join(f", {each}=None" for each in optional),
        method=method.upper(),
        path=path,
        query=_write_dict(parameters, "query"),
        headers=_write_dict(parameters, "header"),
        body="body" if body else "None",
    )


def _write_dict(parameters: Any, place: str) -> str:
    return (
        "{" + ", ".join(f'"{each["name"]}": {_name(each["name"])}' for each in parameters if each["in"] == place) + "}"
    )


def _name(written: str) -> str:
    return written.replace("-", "_").lower()
