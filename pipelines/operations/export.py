"""Exports a trial of a study: what the study's file and its other trials say of it, and the files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pipelines.cli.progress_bars import duration
from pipelines.engines.local_engine import LocalEngine
from pipelines.export.export import ExportResult, check_target, export_trial
from pipelines.export.model_card import ModelOrigin
from pipelines.export.registry import check_formats
from pipelines.operations.submit import written_document
from pipelines.queries.study_reader import Lookup
from pipelines.selection.model_locations import ensemble_of, handed_over, is_refitted, past_trial
from pipelines.spec.schema import BudgetSpec, SplitSpec
from pipelines.study.load import Study
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError


def export_study(
    home: Home,
    study: str,
    trial: int | None,
    formats: Sequence[str] | None,
    target: Path,
    *,
    ensemble: bool = False,
) -> ExportResult:
    """Export a model of a study, in the study's own formats unless some are named.

    It is the model that the winner hands over, which may have been trained on validation rows too, unless a trial is
    named or the `ensemble` of the finalists is asked for: that is the model of the trial as the search trained it.

    Raises:
        InputError: if study, trial or format are unknown, a format cannot be written here, or the target exists.
        ExportError: if a file cannot be written, or differs from the Keras model.
    """
    check_target(target)
    check_formats(formats or ())
    if ensemble and trial is not None:
        raise InputError("expected a trial or the ensemble, got both; leave one out")
    with Lookup.open(home) as lookup:
        number = lookup.complete_trial(study, trial)
        checked = lookup.checked(study)
        origin = _origin(lookup, checked, number)
    of = past_trial(home, study, number) if trial is not None else handed_over(checked, home, number)
    made = ""
    if trial is None and is_refitted(checked, home, number):
        made = "trained once more on the training and validation rows together"
    if ensemble:
        found = ensemble_of(checked, home, number)
        if found is None:
            asks = "" if checked.spec.selection.ensemble else "; set selection.ensemble: true and run it again"
            raise ConflictError(f"{study} has no ensemble that beats its winner{asks}")
        of, made = found, "the mean of the finalists' models"
    chosen = formats or checked.spec.export.formats
    test = origin.test if of == handed_over(checked, home, number) else {}
    origin = replace(origin, test=test, made=made)
    with closing(LocalEngine(1)) as engine:
        files = export_trial(home, study, number, chosen, target, engine, origin, of)
    return ExportResult(study, number, str(target), files, test, made)


def _origin(lookup: Lookup, study: Study, number: int) -> ModelOrigin:
    view, best, trials = lookup.study(study.name), lookup.best(study.name), lookup.trials(study.name)
    (chosen,) = (trial for trial in trials if trial.number == number)
    is_winner = best.trial.number == number
    return ModelOrigin(
        study=study.name,
        trial=number,
        study_file="study.json",
        document=json.dumps(json.loads(written_document(study)), indent=2, ensure_ascii=False) + "\n",
        model=study.spec.model,
        split=_split_in_words(study.spec.data.split),
        budget=_budget_in_words(study.spec.budget),
        space={
            name: _in_words(written)
            for name, written in study.space.to_dict().items()
            if isinstance(written, dict) and written.get("type") != "fixed"
        },
        metric=best.metric,
        direction=best.direction,
        trials=view.trials,
        value=chosen.values[0] if chosen.values else None,
        is_winner=is_winner,
        test=best.test if is_winner else {},
        importances=lookup.importances(study.name),
        finalists=best.finalists if is_winner else (),
    )


def _split_in_words(split: SplitSpec) -> str:
    if split.column is not None:
        return f"by the column `{split.column}`"
    test = f"{split.test:.0%} test, seed {split.seed}"
    if split.folds is not None:
        return f"{split.folds} folds, {test}"
    return f"{split.validation:.0%} validation, {test}; the same rows whenever it is run"


def _budget_in_words(budget: BudgetSpec) -> str:
    parts = [f"{budget.trials} trials"]
    if budget.time is not None:
        parts.append(duration(budget.time))
    if budget.target is not None:
        parts.append(f"a score of {budget.target:g}")
    if budget.patience is not None:
        parts.append(f"{budget.patience} trials without a better one")
    return ", or ".join(parts)


def _in_words(written: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in written.items() if value is not None)
