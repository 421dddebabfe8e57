"""Provenance of a study's numbers besides its file and its data: the environment, and the code.

The code is the files that the study file names, and kerastudy itself; the imports of those files are not covered.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pipelines.data.reading.source_paths import is_loader
from pipelines.spec.import_conflicts import OURS
from pipelines.study.study import Study

_PACKAGES = (
    *("kerastudy", "keras", "tensorflow", "jax", "keras-tuner", "optuna"),
    *("mlflow", "numpy", "pandas", "scikit-learn"),
)


def describe_environment() -> dict[str, str | int]:
    """Return the versions of packages, platform and processor cores that a study runs with."""
    versions: dict[str, str | int] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            # From the installed metadata: an import of TensorFlow alone takes 5 s.
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**versions, "platform": platform.platform(), "cores": os.cpu_count() or 0}


def hash_code(study: Study) -> dict[str, str]:
    """Return the SHA-256 of each Python file that a study names, by the name it has there, and of `kerastudy` itself.

    A file that is gone is left out.
    """
    files = {name: study.base / name for name in _list_files(study)}
    return {name: _hash_files(file) for name, file in files.items() if file.is_file()} | {
        "kerastudy": _hash_kerastudy()
    }


def _list_files(study: Study) -> Iterator[str]:
    data = study.spec.data
    if study.has_user_model:
        yield study.spec.model.rpartition(":")[0]
    for _, source in data.list_sources():
        if is_loader(source):
            yield source.rpartition(":")[0]


def _hash_files(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


@lru_cache
def _hash_kerastudy() -> str:
    # Hashed once a process, which runs the code that it read at its start.
    root = Path(__file__).parents[2]
    return _hash_files(*sorted(file for package in OURS for file in (root / package).rglob("*.py")))
