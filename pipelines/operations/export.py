"""Export of a study's model: its choice, the facts for its model card, its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

from pipelines.engines.base import Engine
from pipelines.engines.local_engine import LocalEngine
from pipelines.export.export import ExportResult, ExportSource, check_target, export_trial
from pipelines.export.model_card import ModelOrigin
from pipelines.export.registry import check_formats
from pipelines.queries.study_reader import StudyReader
from pipelines.selection.model_locations import (
    find_ensemble,
    find_winning_model,
    is_ensembled,
    is_refitted,
    locate_trial,
)
from pipelines.selection.registered_files import check_registered_files
from pipelines.spec.data_spec import SplitSpec
from pipelines.spec.schema import BudgetSpec
from pipelines.study.stored import serialize_study
from pipelines.study.study import Study
from pipelines.supervisor.event_text import format_duration
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError

_ENSEMBLE = "the mean of the winner's model and of further trainings of it"


def export_study(
    home: Home,
    study: str,
    trial: int | None,
    formats: Sequence[str] | None,
    target: Path,
    *,
    ensemble: bool = False,
    engine: Engine | None = None,
) -> ExportResult:
    """Export a model of a study.

    Args:
        home: the home that holds the study.
        study: its name.
        trial: the number of a trial, whose model is exported as the search trained it; None for the winner's delivered
            model, which may have been trained on the validation rows too.
        formats: names of formats; those of the study file if None.
        target: the folder to create.
        ensemble: whether to export the winner's ensemble, also where it is not delivered.
        engine: runs the jobs that load the models; a new engine if None.

    Raises:
        InputError: if study, trial or format are unknown, a format cannot be written here, or the target exists.
        ExportError: if a file cannot be written, or differs from the Keras model.
        ModelChangedError: if the model's files are not those that were registered.
    """
    # First: otherwise an error would end minutes of work.
    check_target(target)
    check_formats(formats or ())
    if ensemble and trial is not None:
        raise InputError("expected a trial or the ensemble, got both; leave one out")
    with StudyReader.open(home) as reader:
        # Closed before the export, which takes minutes: an open reader holds a connection.
        number = reader.find_complete_trial(study, trial)
        checked = reader.load_study(study)
        origin = _describe_origin(reader, checked, number)
    of = locate_trial(home, study, number) if trial is not None else find_winning_model(checked, home, number)
    made = ""
    if trial is None and is_ensembled(checked, home, number):
        made = _ENSEMBLE
    elif trial is None and is_refitted(checked, home, number):
        made = "trained once more on the training and validation rows together"
    if ensemble:
        found = find_ensemble(checked, home, number)
        if found is None:
            hint = "" if checked.spec.selection.ensemble else "; set selection.ensemble: true and run it again"
            raise ConflictError(f"{study} has no ensemble that beats its winner{hint}")
        of, made = found, _ENSEMBLE
    check_registered_files(home, of)
    chosen = formats or checked.spec.export.formats
    # Test scores are of the delivered model: another trial's, or an ensemble's, would be a second choice on test rows.
    is_delivered = of == find_winning_model(checked, home, number)
    test = origin.test if is_delivered else {}
    origin = replace(
        origin,
        test=test,
        made=made,
        refit=origin.refit if is_delivered else "",
        ensemble=origin.ensemble if is_delivered else "",
    )
    with nullcontext(engine) if engine else closing(LocalEngine(1)) as used:
        files = export_trial(ExportSource(study, number, of), chosen, target, used, origin)
    return ExportResult(study, number, str(target), files, test, made)


def _describe_origin(reader: StudyReader, study: Study, number: int) -> ModelOrigin:
    view, best, trials = (
        reader.read_study(study.name),
        reader.find_best_trial(study.name),
        reader.list_trials(study.name),
    )
    (chosen,) = (trial for trial in trials if trial.number == number)
    is_winner = best.trial.number == number
    return ModelOrigin(
        study=study.name,
        trial=number,
        study_file="study.json",
        # Stored in one line; a person reads this one.
        document=json.dumps(json.loads(serialize_study(study)), indent=2, ensure_ascii=False) + "\n",
        model=study.spec.model,
        split=_describe_split(study.spec.data.split),
        budget=_describe_budget(study.spec.budget),
        space={
            name: _describe_parameter(written)
            for name, written in study.space.to_dict().items()
            if isinstance(written, dict) and written.get("type") != "fixed"
        },
        metric=best.metric,
        direction=best.direction,
        trials=view.trials,
        value=chosen.values[0] if chosen.values else None,
        is_winner=is_winner,
        test=best.test if is_winner else {},
        importances=reader.compute_importances(study.name),
        finalists=best.finalists if is_winner else (),
        refit=best.refit_reason if is_winner else "",
        ensemble=best.ensemble_reason if is_winner else "",
        baselines=best.baselines.describe() if best.baselines else "",
        unbeaten=best.unbeaten if is_winner else "",
    )


def _describe_split(split: SplitSpec) -> str:
    if split.column is not None:
        return f"by the column `{split.column}`"
    test = f"{split.test:.0%} test, seed {split.seed}"
    if split.order is not None:
        test = f"{split.test:.0%} test, in the order of `{split.order}`"
    elif split.group is not None:
        test = f"{test}, by groups of `{split.group}`"
    if split.folds is not None:
        return f"{split.folds} folds, {test}"
    return f"{split.validation:.0%} validation, {test}; the same rows whenever it is run"


def _describe_budget(budget: BudgetSpec) -> str:
    parts = [f"{budget.trials} trials"]
    if budget.time is not None:
        parts.append(format_duration(budget.time))
    if budget.target is not None:
        parts.append(f"a score of {budget.target:g}")
    if budget.patience is not None:
        parts.append(f"{budget.patience} trials without a better one")
    return ", or ".join(parts)


def _describe_parameter(written: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in written.items() if value is not None)
