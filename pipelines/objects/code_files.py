"""Files of code that came as an object: a pickle, and the Python file that loads it and that a study names.

The Python file holds the digest of what the code does, so changed code shows in its text, as that of any other file.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

from pipelines.objects import kerastudy_pickle
from pipelines.objects.captured import is_user_code, list_parts
from pipelines.objects.digest import digest_object
from pipelines.objects.keras_settings import read_keras_settings
from pipelines.objects.kerastudy_pickle import name_python
from pipelines.objects.pickles import PickledCode, pickle_code
from search_spaces.errors import InputError

_TEXT = '''"""Code that `kerastudy.run` received as an object. Written by kerastudy: the code itself is in {pickle}.

Digests of what it does and what it uses:

{digests}
"""

from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what the code imports
{imports}

load_pickle = run_path(str(Path(__file__).with_name("{loader}")))["load_pickle"]
globals().update(load_pickle(__file__, python="{python}"))
'''
LOADER = "kerastudy_pickle.py"
_DIGEST = re.compile(r"^    (.+): ([0-9a-f]{32})$", re.MULTILINE)
_PYTHON = re.compile(r'load_pickle\(__file__, python="([0-9.]+)"\)')


@dataclass(frozen=True)
class CodeFiles:
    """Files of one object of code.

    Attributes:
        stem: the files' name without its suffix.
        name: the object's name in the Python file.
        text: the Python file.
        pickle: the pickle beside it.
    """

    stem: str
    name: str
    text: str
    pickle: PickledCode

    @property
    def reference(self) -> str:
        """Return the reference of a study file to the code."""
        return f"{self.stem}.py:{self.name}"

    def write_text(self, folder: Path) -> None:
        """Write the Python file, and the loader that it runs."""
        shutil.copyfile(kerastudy_pickle.__file__, folder / LOADER)
        (folder / f"{self.stem}.py").write_text(self.text, encoding="utf-8")

    def write_pickle(self, folder: Path) -> None:
        """Write the pickle."""
        (folder / f"{self.stem}.pkl").write_bytes(self.pickle.content)


def make_code_files(stem: str, value: Any) -> CodeFiles:
    """Return the files of a function, class or instance.

    Raises:
        InputError: if it uses what cannot be sent to a worker process.
    """
    name = _choose_name(value, stem)
    pickle = pickle_code(name, value)
    try:
        digests = {name: digest_object(value), **_digest_parts(value)}
    # Whatever the `__reduce__` of a captured object raises.
    except Exception as error:
        message = f"{name} uses what cannot be compared with a later run: {type(error).__name__}: {error}"
        raise InputError(f'{message}; write the code to a file and pass "file.py:{name}"') from error
    text = _TEXT.format(
        pickle=f"{stem}.pkl",
        digests="\n".join(f"    {each}: {digest}" for each, digest in digests.items()),
        imports="\n".join(f"    import {module}" for module in sorted({"cloudpickle", *pickle.modules})),
        loader=LOADER,
        python=name_python(),
    )
    return CodeFiles(stem, name, text, pickle)


def list_companions(file: Path) -> list[Path]:
    """Return the files that a Python file of `CodeFiles` needs beside it; none for any other file."""
    pickle = file.with_suffix(".pkl")
    is_ours = pickle.is_file() and _PYTHON.search(file.read_text(encoding="utf-8"))
    return [pickle, file.with_name(LOADER)] if is_ours else []


def read_python(folder: Path, stem: str) -> str | None:
    """Return the version of Python that wrote code into a folder; None where there is none."""
    file = folder / f"{stem}.py"
    found = _PYTHON.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return found and found[1]


def list_changes(before: str, now: str) -> list[str]:
    """Return the names of what differs between two Python files of one object; the object alone where nothing else."""
    one, other = dict(_DIGEST.findall(before)), dict(_DIGEST.findall(now))
    changed = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return changed[1:] or changed


def _digest_parts(value: Any) -> dict[str, str]:
    """Return the digests of what an object uses, so that a change can be named."""
    while isinstance(value, partial):
        value = value.func
    parts = dict(list_parts(value)) if isinstance(value, FunctionType | type) or is_user_code(type(value)) else {}
    digests = {name: digest_object(each) for name, each in sorted(parts.items())}
    if settings := read_keras_settings():
        digests["settings of Keras"] = digest_object(settings)
    return digests


def _choose_name(value: Any, otherwise: str) -> str:
    while isinstance(value, partial):
        value = value.func
    name = str(getattr(value, "__name__", type(value).__name__))
    return name if name.isidentifier() else otherwise
