"""Public Python API of kerastudy: load or make a study, run it, use its result.

Example: `result = kerastudy.run_study(kerastudy.load_study("studies/breast-cancer.yaml"))`, then `result.best.values`
and `result.load_model()`. Keep it below `if __name__ == "__main__":` in a script, since workers import the script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.api import (
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
        load_study,
        make_study,
        run_study,
    )

__all__ = [
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
    "load_study",
    "make_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    """Load the API when one of its names is first used: a worker or a `--help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from pipelines import api

    # Stored, so that Python finds it the next time without this function.
    value = globals()[name] = getattr(api, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
