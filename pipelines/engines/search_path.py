"""Order of `sys.path` in workers: the libraries first, then every folder of the user.

Python searches a script's folder, or the current one, before the libraries. There a user's file named like a library,
or like a module of Python's own, would take its place in every process that we start.
"""

from __future__ import annotations

import site
import sysconfig
from collections.abc import Iterable
from pathlib import Path

SAFE_PATH = "PYTHONSAFEPATH"
"""The environment variable that keeps the current folder out of the `sys.path` of a new Python."""


def order_search_path(entries: Iterable[str]) -> list[str]:
    """Return the entries of a `sys.path`, those of Python and its installed libraries first."""
    libraries = _list_library_folders()
    return sorted(entries, key=lambda entry: Path(entry).resolve() not in libraries)  # stable


def _list_library_folders() -> set[Path]:
    paths = sysconfig.get_paths()
    standard = Path(paths["stdlib"])
    compiled = [paths["platstdlib"], sysconfig.get_config_var("DESTSHARED") or standard / "lib-dynload"]
    archive = standard.parent / f"python{sysconfig.get_config_var('py_version_nodot')}.zip"
    installed = [paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()]
    return {Path(folder).resolve() for folder in (standard, *compiled, archive, *installed)}
