"""Imports of a user's file that would not find the module that lies beside it.

A worker searches Python's own modules, the libraries and our packages before the folder of the user's file. A module
there that has the name of one of these is never found, which Python would not report.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from importlib.machinery import BuiltinImporter, FrozenImporter
from pathlib import Path
from typing import Final, NamedTuple

OURS: Final = ("kerastudy", "search_spaces", "tracking", "pipelines")


class ImportConflict(NamedTuple):
    """An import that finds another module than the one beside the user's file.

    Attributes:
        found: the module that it finds.
        beside: the module that it does not find.
    """

    file: Path
    line: int
    name: str
    found: str
    beside: Path

    def __str__(self) -> str:
        """Return which module the import finds, and what to rename."""
        found = "kerastudy's package of this name" if self.name in OURS else self.found
        place = f"{self.file.name}, line {self.line}"
        return f'{place} imports "{self.name}": that is {found}, not {self.beside}; rename yours'


def find_import_conflict(file: Path) -> ImportConflict | None:
    """Return the first import, in a file or in the modules beside it that it imports, that finds another module.

    A file that is not Python is left to its import, which reports it.
    """
    folder, waiting, seen = file.parent, [file], {file}
    while waiting:
        importing = waiting.pop()
        for name, line in _list_imports(importing):
            beside = _find_beside(folder, name)
            if beside is None or beside == file:  # a file of that name that imports the library itself
                continue
            if (found := _find_other(name, beside)) is not None:
                return ImportConflict(importing, line, name, found, beside)
            new = [each for each in ([beside] if beside.is_file() else beside.rglob("*.py")) if each not in seen]
            seen.update(new)
            waiting += new
    return None


def _list_imports(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the top-level names that a file imports anywhere in its code, with their lines."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.name.partition(".")[0], node.lineno) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0], node.lineno


def _find_beside(folder: Path, name: str) -> Path | None:
    module, package = folder / f"{name}.py", folder / name
    if module.is_file():
        return module
    # Without `__init__.py` a folder is a module only where nothing else has its name.
    is_package = (package / "__init__.py").is_file() or (name in OURS and any(package.glob("*.py")))
    return package if is_package else None


def _find_other(name: str, beside: Path) -> str | None:
    """Return the file that an import finds in place of the one in the user's folder; None where it finds that one."""
    if any(importer.find_spec(name) for importer in (BuiltinImporter, FrozenImporter)):
        return None  # found first in any program
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or Path(spec.origin).resolve().is_relative_to(beside.resolve()):
        return None
    return spec.origin
