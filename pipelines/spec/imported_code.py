"""Files of the user that a Python file consists of: itself, and what it imports from folders that are not installed.

Imports are read from the text, so those inside functions count, and those that are computed do not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.spec.import_conflicts import OURS
from pipelines.spec.installed_code import is_installed


class ImportedCode(NamedTuple):
    """The files of a user's code, and what they need besides.

    Attributes:
        files: each file by the path that its import finds it at, such as `layers/gate.py`.
        packages: top-level names of the modules that they import from elsewhere.
    """

    files: dict[str, Path]
    packages: frozenset[str]


def list_imported_code(file: Path) -> ImportedCode:
    """Return the files that a file of the user's consists of."""
    folders = [
        file.parent,
        *(folder for folder in map(Path, sys.path) if str(folder) and not is_installed(str(folder))),
    ]
    files: dict[str, Path] = {file.name: file}
    packages: set[str] = set()
    waiting = [(file.name, file)]
    while waiting:
        name, importing = waiting.pop()
        for module in _list_modules(name, importing):
            found = {} if module.partition(".")[0] in OURS else _find_module(module, folders)
            if not found:
                packages.add(module.partition(".")[0])
            new = {path: each for path, each in found.items() if path not in files}
            files |= new
            waiting += new.items()
    local = {path.partition("/")[0].removesuffix(".py") for path in files}
    return ImportedCode(files, frozenset(packages - local - sys.stdlib_module_names))


def _list_modules(name: str, file: Path) -> Iterator[str]:
    """Yield the full names of all modules that a file imports; some may be members of a module instead."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    package = name.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module:
                yield module
            yield from (f"{module}.{each.name}".lstrip(".") for each in node.names if module or node.level)


def _find_module(module: str, folders: list[Path]) -> dict[str, Path]:
    """Return the file of a module and those of its packages, by their paths; empty where it is not the user's."""
    parts = module.split(".")
    for folder in folders:
        found: dict[str, Path] = {}
        for count in range(1, len(parts) + 1):
            stem = "/".join(parts[:count])
            for path in (f"{stem}.py", f"{stem}/__init__.py"):
                if (folder / path).is_file() and not is_installed(str(folder / path)):
                    found[path] = folder / path
        if found:
            return found
    return {}
