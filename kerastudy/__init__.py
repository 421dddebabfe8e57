"""Public Python API of kerastudy: load or make a study, run it, use its result.

Example: `result = kerastudy.run(model=build, data=(x, y), budget=20)`, or `kerastudy.run("studies/digits-cnn.yaml")`,
then `result.best.value` and `result.load_model()`.

Every process of kerastudy imports this package first: it loads the others from the folder that it lies in, so that a
user's folder may hold modules named `pipelines`, `tracking` or `search_spaces`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.api import (
        BestTrialResult,
        Categorical,
        Fixed,
        Float,
        InputError,
        Int,
        KerastudyError,
        Space,
        Study,
        StudyFailedError,
        StudyResult,
        load_result,
        load_study,
        make_study,
        run,
        run_study,
    )

__all__ = [
    "BestTrialResult",
    "Categorical",
    "Fixed",
    "Float",
    "InputError",
    "Int",
    "KerastudyError",
    "Space",
    "Study",
    "StudyFailedError",
    "StudyResult",
    "load_result",
    "load_study",
    "make_study",
    "run",
    "run_study",
]

_PACKAGES = ("search_spaces", "tracking", "pipelines")
# Imported in the process that runs a study; workers import from the installed ones alone.
_LIBRARIES = ("numpy", "optuna", "mlflow", "pandas", "psutil", "pydantic", "sqlalchemy", "tenacity")


def __getattr__(name: str) -> Any:
    """Load the API when one of its names is first used: a worker or a `--help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    _check_libraries(Path(sys.path[0] or ".").resolve())
    from pipelines import api

    # Stored, so that Python finds it the next time without this function.
    value = globals()[name] = getattr(api, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _load_packages(folder: Path) -> None:
    """Import our other packages from a folder, whatever Python would find first.

    Raises:
        ImportError: if another module has one of their names already.
    """
    sys.path.insert(0, str(folder))
    try:
        found = {name: getattr(importlib.import_module(name), "__file__", None) for name in _PACKAGES}
    finally:
        sys.path.remove(str(folder))
    for name, file in found.items():
        if file is None or Path(file).resolve().parents[1] != folder:
            message = f'kerastudy has a package named "{name}", and {file or "a folder"} was imported under this name'
            raise ImportError(f"{message}; rename it")


def _check_libraries(first: Path) -> None:
    """Raise `ImportError` if the script's folder, which Python searches first, hides a library that we need."""
    if any(first.glob("*.dist-info")):  # the libraries themselves
        return
    for name in _LIBRARIES:
        for file in (first / f"{name}.py", first / name / "__init__.py"):
            if file.is_file():
                raise ImportError(f'{file} hides the library "{name}", which kerastudy needs; rename it')


_load_packages(Path(__file__).resolve().parents[1])
