"""How plain values look on a terminal: JSON, CSV and tables."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.cli.progress_bars import counted, duration, metrics_line, table_cell, trial_name
from pipelines.client.submission import Submitted
from pipelines.data.prepared import Features
from pipelines.export.export import ExportResult, Parity
from pipelines.operations.control import Standing
from pipelines.operations.promote import Promoted
from pipelines.operations.replay.comparison import Compared
from pipelines.operations.replay.replay import Replayed
from pipelines.operations.spaces import ShippedSpace
from pipelines.operations.submit import Checked
from pipelines.operations.sync import Rebuilt, Synced
from pipelines.queries.views import BestTrial, StudyRow, StudyView, TrialRow
from pipelines.training.messages import ModelCheck
from tracking.store.tokens import Token

_VERDICTS = {"equal": "equal to the last bit", "rounding": "within rounding", "different": "different"}
_TRAINED = {"": "", "fleet": " in a fleet", "own": " by the model's own fit"}
_DIGEST = re.compile(r"[0-9a-f]{32,}")
_MOST_INPUTS = 12
_NAMED_COLUMNS = 3


def print_json(value: Any) -> None:
    """Print a dataclass, or a sequence or mapping of plain values, as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_studies(studies: Sequence[StudyRow]) -> None:
    """Print a list of studies."""
    table = _table("study", "state", "trials", "metric", "best", "best trial")
    for study in studies:
        which = "" if study.best_trial is None else trial_name(study.best_trial)
        table.add_row(
            study.name, study.state, f"{study.trials}/{study.budget}", study.metric, table_cell(study.best), which
        )
    _print(table)


def print_spaces(spaces: Sequence[ShippedSpace]) -> None:
    """Print a list of shipped spaces."""
    table = _table("space", "parameters", "for")
    for space in spaces:
        table.add_row(space.name, str(space.parameters), space.about)
    _print(table)


def print_study(study: StudyView) -> None:
    """Print how a study stands."""
    counts = ", ".join(f"{count} {state}" for state, count in study.trials.items()) or "none yet"
    best = "none yet" if study.best is None else f"{study.best:.6g} ({trial_name(study.best_trial or 0)})"
    waiting = f"{counted(study.waiting_for_mlflow, 'record')} to go" if study.waiting_for_mlflow else "up to date"
    refused = f" ({study.mlflow_error})" if study.mlflow_error else ""
    rows = {
        "study": study.name,
        "state": f"{study.state} ({study.reason})" if study.reason else study.state,
        "model": study.model,
        "data": study.source,
        "objective": f"{study.direction} {study.metric}",
        "trials": f"{sum(study.trials.values())} of {study.budget}: {counts}",
        **(
            {"attempts": f"{study.failed_attempts} failed, the last of {study.last_failed_attempt}"}
            if study.failed_attempts
            else {}
        ),
        **_changes(study),
        "best": best,
        **{f"  {name}": table_cell(value) for name, value in study.best_params.items()},
        "time": duration(study.seconds),
        "MLflow": f"{study.page or study.tracking_uri}: {waiting}{refused}",
        "files": study.folder,
    }
    _print_pairs(rows)


def _changes(study: StudyView) -> dict[str, str]:
    return {
        f"change {number}": f"{'; '.join(change.differences)} ({change.kept} of {change.before} trials kept)"
        for number, change in enumerate(study.changes, start=1)
    }


def print_standing(standing: Standing) -> None:
    """Print how a study stands after something was asked of it."""
    print(f"{standing.study} {standing.state}: {standing.reason}")


def print_submitted(submitted: Submitted) -> None:
    """Print what became of a study that was handed in."""
    what = f"in the queue, place {submitted.place}" if submitted.place else submitted.state
    print(f"{submitted.study} is {what}" if submitted.is_new else f"{submitted.study} was handed in before: {what}")
    print(f"next: {submitted.next}")


def print_tokens(tokens: Sequence[Token]) -> None:
    """Print a list of tokens."""
    table = _table("token", "may", "trials at once")
    for token in tokens:
        table.add_row(token.name, token.scope, str(token.running_trials or "any number"))
    _print(table)


def print_synced(done: Sequence[Synced]) -> None:
    """Print what was delivered to MLflow, and what was not."""
    for each in done:
        what = f"{counted(each.delivered, 'record')} delivered" if each.delivered or each.left else "up to date"
        print(f"{each.study}: {what}{_left(each.left, each.reason)}")
    if not done:
        print("MLflow is up to date")


def print_rebuilt(done: Rebuilt) -> None:
    """Print what was told to MLflow anew, and what was not delivered."""
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    told = f"{counted(done.trials, 'trial')} told anew, {counted(done.delivered, 'record')} delivered"
    print(f"{done.study}: {told}{_left(done.left, done.reason)}")
    if done.left:
        print(f"next: kerastudy sync {done.study}")


def _left(left: int, reason: str) -> str:
    return f", {left} left{f' ({reason})' if reason else ''}" if left else ""


def print_trials(trials: Sequence[TrialRow]) -> None:
    """Print a table of trials, a column for each hyperparameter."""
    names, values = _param_names(trials), _value_names(trials)
    table = _table("trial", "state", *values, "epoch", "time", *names, "reason")
    for trial in trials:
        table.add_row(
            trial_name(trial.number),
            trial.state,
            *(table_cell(value) for value in _padded(trial.values, len(values))),
            table_cell(trial.best_epoch),
            "" if trial.seconds is None else duration(trial.seconds),
            *(table_cell(trial.params.get(name)) for name in names),
            trial.reason,
        )
    _print(table)


def print_csv(trials: Sequence[TrialRow]) -> None:
    """Print trials as CSV, a column for each hyperparameter; inactive ones are empty."""
    names, values = _param_names(trials), _value_names(trials)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    fixed = ["number", "state", *values, "best_epoch", "seconds"]
    writer.writerow([*fixed, *(f"params_{name}" for name in names), "reason"])
    for trial in trials:
        active = [_csv_cell(trial.params.get(name)) for name in names]
        of_trial = ["" if value is None else value for value in _padded(trial.values, len(values))]
        writer.writerow([trial.number, trial.state, *of_trial, trial.best_epoch, trial.seconds, *active, trial.reason])


def _value_names(trials: Sequence[TrialRow]) -> list[str]:
    """Return Optuna's names of the columns of values: `value`, or `values_0` and so on for several objectives."""
    most = max((len(trial.values) for trial in trials), default=1)
    return ["value"] if most <= 1 else [f"values_{index}" for index in range(most)]


def _padded(values: Sequence[float], count: int) -> list[float | None]:
    return [*values, *[None] * (count - len(values))]


def print_best(best: BestTrial) -> None:
    """Print the best trial."""
    others = zip(best.objectives[1:], best.trial.values[1:], strict=True)
    rows = {
        "study": best.study,
        "trial": trial_name(best.trial.number),
        best.metric: f"{best.trial.values[0]:.6g} at epoch {best.trial.best_epoch}",
        **{objective.name: f"{value:.6g}" for objective, value in others},
        **_chosen(best),
        **{name: f"{value:.6g}" for name, value in best.test.items()},
        **{f"  {name}": table_cell(value) for name, value in best.trial.params.items()},
        "model": best.model,
    }
    _print_pairs(rows)
    if best.front:
        table = _table("front", *(f"{each.name} ({each.direction})" for each in best.objectives))
        for trial in best.front:
            table.add_row(trial_name(trial.number), *(f"{value:.6g}" for value in trial.values))
        print()
        _print(table)
        name = best.objectives[-1].name
        print(f"export one of them with --trial N, or the best within bounds with --at-most {name}=VALUE")


def _chosen(best: BestTrial) -> dict[str, str]:
    """Return how the winner was chosen, where that was by further trainings."""
    rows = {f"  {trial_name(each.number)}": each.in_words() for each in best.finalists}
    if best.refit:
        rows["  refit"] = "the model was trained on training and validation rows together"
    if best.ensemble is not None:
        parts = ", ".join(map(trial_name, best.ensemble_of))
        rows["  ensemble"] = f"the mean of {parts} has {best.ensemble:.6g}: export it with --ensemble"
    return rows


def print_checked(study: str, parameters: Sequence[str], checked: Checked) -> None:
    """Print what checking a study found."""
    summary = checked.summary
    task = summary.task
    classes = f", {len(task.classes)} classes" if task.classes else ""
    rows = {
        "study": f"{study}: ok",
        "rows": ", ".join(f"{count} {part}" for part, count in summary.rows.items()),
        "task": f"{task.kind} on {', '.join(task.targets)}{classes}",
        "inputs": "\n".join([str(len(summary.raw)), *_inputs(summary.encodings), *summary.notes]),
        "features": _features(summary.features),
        "space": ", ".join(parameters),
        "smallest": _model_line(checked.smallest),
        "largest": _model_line(checked.largest),
    }
    _print_pairs(rows)


def print_export(exported: ExportResult) -> None:
    """Print what an export wrote and how each file compares with the Keras model."""
    made = f", {exported.made}" if exported.made else ""
    print(f"{exported.study} {trial_name(exported.trial)}{made} -> {exported.folder}")
    for parity in exported.files:
        for line in _parity_lines(parity):
            print(line)
    if exported.test:
        print(f"  {metrics_line(exported.test)}")


def print_promoted(done: Promoted) -> None:
    """Print how a trial's model compared with the version that held the alias, and what came of it."""
    which = f"{done.study} {trial_name(done.trial)}"
    against = f" against {done.holder}" if done.holder else ""
    if (compared := done.comparison) is not None:
        print(f"{which}{against}, on {counted(compared.rows, 'row')} of the {compared.part} part")
        table = _table("metric", which, *([done.holder] if compared.rival_scores else []))
        for name, value in compared.scores.items():
            rival = [table_cell(compared.rival_scores.get(name))] if compared.rival_scores else []
            table.add_row(name, table_cell(value), *rival)
        _print(table)
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    print(done.reason)


def _parity_lines(parity: Parity) -> Iterator[str]:
    yield (
        f"  {parity.file}: {parity.size_bytes / 1e6:.2f} MB, largest difference from the Keras model "
        f"{parity.largest_difference:.1e} on {parity.rows} rows, decisions equal on {parity.agreement:.1%}"
    )
    score = "" if parity.score is None else f"{parity.metric} {parity.score:.6g} (Keras {parity.keras_score:.6g})"
    times = [f"{each.median_ms:.2f} ms for {counted(each.batch, 'row')}" for each in parity.latency]
    if details := [score, *times] if score else times:
        yield f"    {', '.join(details)}"
    if parity.part == "network":
        yield f"    {parity.note}; {parity.preprocessing_file} goes before it"


def print_replayed(replayed: Replayed) -> None:
    """Print what came of training a trial again: the result, then what it depends on, what differs in full."""
    came_out = {"different": "came out different", "unknown": "left nothing to compare"}
    verdict = came_out.get(replayed.verdict) or f"came out {_VERDICTS[replayed.verdict]}"
    print(f"{replayed.study} {trial_name(replayed.trial)} {verdict}")
    how = _TRAINED.get(replayed.trainer, f" by {replayed.trainer}")
    print(f"trained again{how}, on {replayed.trained_on}; {duration(replayed.seconds)} in all")
    for note in replayed.notes:
        print(f"note: {note}")
    if replayed.folder is not None:
        print(f"files: {replayed.folder}")
    width = max(len(each.name) for each in replayed.compared) + 2
    for topic in dict.fromkeys(each.topic for each in replayed.compared):
        print(f"\n{topic}")
        for name, line in _topic_lines(topic, [each for each in replayed.compared if each.topic == topic]):
            print(f"  {name:<{width}}{line}")


def _topic_lines(topic: str, compared: Sequence[Compared]) -> Iterator[tuple[str, str]]:
    """Yield a name and a line for each comparison; of the environment, for what is not equal, and how much is."""
    in_full = topic != "environment"
    yield from ((each.name, _compared_line(each)) for each in compared if in_full or not _is_equal(each))
    if not in_full and (equal := sum(map(_is_equal, compared))):
        yield ("all" if equal == len(compared) else "others"), f"equal ({equal})"


def _is_equal(compared: Compared) -> bool:
    return compared.verdict == "equal"


def _compared_line(compared: Compared) -> str:
    """Return a comparison in words: the verdict, the two values where they are short, the note."""
    if compared.verdict == "unknown":
        return compared.note
    said: str = compared.verdict
    if compared.largest is not None:
        said = _VERDICTS[compared.verdict]
        said += f" ({compared.largest:.2g})" if compared.largest else ""
    values = [value for value in (compared.recorded, compared.now) if isinstance(value, str | int | float)]
    if values and compared.verdict == "equal":
        said += f" ({_short(values[0])})"
    elif values:
        said += f": {_short(compared.recorded)} then, {_short(compared.now)} now"
    return f"{said}{'; ' if values else ': '}{compared.note}" if compared.note else said


def _short(value: object) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else "nothing" if value is None else str(value)
    return f"{text[:12]}..." if _DIGEST.fullmatch(text) else text


def _features(features: Features) -> str:
    """Return what preprocessing hands to the model: the shapes that a model of one's own must take."""
    parts = [
        f"dense ({features.dense})" if features.dense else "",
        f"codes ({len(features.codes)})" if features.codes else "",
        f"image {features.image}" if features.image else "",
    ]
    return ", ".join(part for part in parts if part)


def _inputs(encodings: Mapping[str, str]) -> list[str]:
    """Return a line for each column; where they are many, a line for each encoding."""
    if len(encodings) <= _MOST_INPUTS:
        width = max((len(name) for name in encodings), default=0)
        return [f"{name:<{width}}  {meaning}" for name, meaning in encodings.items()]
    alike: dict[str, list[str]] = {}
    for name, meaning in encodings.items():
        alike.setdefault(meaning, []).append(name)
    lines = [f"{len(names)} {meaning} ({_first(names)})" for meaning, names in alike.items()]
    rest = [f"and {len(lines) - _MOST_INPUTS} more encodings"] if len(lines) > _MOST_INPUTS else []
    return lines[:_MOST_INPUTS] + rest


def _first(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_NAMED_COLUMNS])
    return listed if len(names) <= _NAMED_COLUMNS else f"{listed} and {len(names) - _NAMED_COLUMNS} more"


def _model_line(model: ModelCheck) -> str:
    if model.refused:
        return f"not tried: {model.refused.removeprefix('not trained: ')}"
    return (
        f"{model.parameters:,} parameters, about {model.memory_bytes / 1e6:,.1f} MB to train, "
        f"about {duration(model.first_s + model.epoch_s * model.epochs)} for {counted(model.epochs, 'epoch')}"
    )


def _csv_cell(value: object) -> object:
    return table_cell(value) if value is None or isinstance(value, bool) else value


def _param_names(trials: Sequence[TrialRow]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.params))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "reason")
    return table


def _print(table: Table) -> None:
    # A table is as wide as it needs to be: fitted to a narrow terminal, its columns would lose their ends.
    Console(highlight=False, width=10_000).print(table)


def _print_pairs(rows: Mapping[str, str]) -> None:
    width = max(len(name) for name in rows) + 2
    for name, value in rows.items():
        first, *more = value.split("\n")
        print(f"{name:<{width}}{first}")
        for line in more:
            print(" " * width + line)


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
