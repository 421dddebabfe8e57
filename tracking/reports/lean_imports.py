"""Imports of libraries for reports, ahead of their use and without optional dependencies."""

from __future__ import annotations

from tracking.imports.hidden_modules import hide_modules


def load_libraries(*, lean: bool) -> None:
    """Import the libraries for figures and reports, for example in a thread while trials train.

    With `lean`, leave out scikit-learn, which takes a second. Optuna's other evaluators of importance then fail in this
    process as if it were not installed.
    """
    with hide_modules(*(["sklearn"] if lean else [])):
        import optuna.importance  # noqa: F401
    import jinja2  # noqa: F401

    import tracking.reports.study_report  # noqa: F401
