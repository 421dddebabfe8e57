"""Installed code: Python's own modules, packages that a package manager put there, and kerastudy's packages."""

from __future__ import annotations

import os
import site
import sysconfig
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


@cache
def is_installed(path: str) -> bool:
    """Return whether a file or folder belongs to installed code, and not to the user's."""
    # The text first: TensorFlow has thousands of modules, and resolving a path takes a tenth of a millisecond.
    folders = _list_folders()
    return path.startswith(folders) or f"{Path(path).resolve()}{os.sep}".startswith(folders)


@cache
def _list_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    named = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    named += [*site.getsitepackages(), site.getusersitepackages()]
    folders = [Path(each) for each in named]
    # By name: installed in editable form they lie in a checkout, beside code that is not theirs.
    ours = [_ROOT / name for name in ("kerastudy", "search_spaces", "tracking", "pipelines")]
    both = [*folders, *(each.resolve() for each in folders), *ours]
    return tuple(f"{each}{os.sep}" for each in dict.fromkeys(both))
