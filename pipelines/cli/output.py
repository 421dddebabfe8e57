"""Plain values on a terminal: JSON, pairs and tables."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from pipelines.cli.safe_console import make_console, make_text
from pipelines.supervisor.event_text import (
    format_cell,
    format_count,
    format_duration,
    format_metrics,
    format_trial_name,
    format_use,
)
from pipelines.supervisor.sparkline import choose_levels, draw_sparkline
from search_spaces.values import replace_not_finite

if TYPE_CHECKING:
    from pipelines.client.submission import SubmissionResult
    from pipelines.data.prepared import DataSummary, Features
    from pipelines.data.report import ColumnReport, DataReport
    from pipelines.export.export import ExportResult, Parity
    from pipelines.operations.check import StudyCheck
    from pipelines.operations.control import StudyStatus
    from pipelines.operations.predict import Predictions
    from pipelines.operations.promote import PromotionResult
    from pipelines.operations.replay.comparison import ItemComparison
    from pipelines.operations.replay.replay import ReplayResult
    from pipelines.operations.spaces import ShippedSpace
    from pipelines.operations.starter.init_study import StarterFile
    from pipelines.operations.sync import RebuildResult, SyncResult
    from pipelines.queries.views import BestTrial, StudyRow, StudyView
    from pipelines.training.messages import ModelCheck
    from pipelines.training.resource_use import ResourceUse

_AGREEMENTS = {"equal": "equal to the last bit", "rounding": "within rounding", "different": "different"}
_TRAINED = {"": "", "fleet": " in a fleet", "parallel": " over devices", "user": " by the model's own fit"}
_DIGEST = re.compile(r"[0-9a-f]{32,}")  # of a file or a data set: its first characters are enough to see a change
_MOST_INPUTS = 12  # more lines would push the rest of the check out of a terminal of 24 lines
_NAMED_COLUMNS = 3
_MOST_CURVE = 40
_LEAST_ROOM = 20  # characters for a value, on the narrowest terminal


def print_json(value: Any) -> None:
    """Print a dataclass, or a sequence or mapping of plain values, as JSON; a number that is not finite is null."""
    plain = replace_not_finite(json.loads(json.dumps(value, default=_convert_to_plain)))
    print(json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False))


def print_studies(studies: Sequence[StudyRow]) -> None:
    """Print a list of studies."""
    # On one machine it would be the same word in each row.
    has_hosts = any(study.host not in ("", platform.node()) for study in studies)
    further = ["host"] if has_hosts else []
    table = make_table("study", "state", "trials", "metric", "best", "best trial", *further)
    for study in studies:
        which = "" if study.best_trial is None else format_trial_name(study.best_trial)
        table.add_row(
            study.name,
            _format_state(study),
            f"{study.trials}/{study.budget}",
            study.metric,
            format_cell(study.best),
            which,
            *([study.host] if has_hosts else []),
        )
    print_table(table)


def _format_state(study: StudyRow | StudyView) -> str:
    return f"{study.state}, archived" if study.archived else study.state


def print_spaces(spaces: Sequence[ShippedSpace]) -> None:
    """Print a list of shipped spaces."""
    table = make_table("space", "parameters", "for")
    for space in spaces:
        table.add_row(space.name, str(space.parameters), space.about)
    print_table(table)


def print_study(study: StudyView) -> None:
    """Print the state of a study."""
    counts = ", ".join(f"{count} {state}" for state, count in study.trials.items()) or "none yet"
    none = "none" if study.state in ("finished", "failed", "cancelled") else "none yet"
    best = none if study.best is None else f"{study.best:.6g} ({format_trial_name(study.best_trial or 0)})"
    waiting = f"{format_count(study.waiting_for_mlflow, 'record')} to go" if study.waiting_for_mlflow else "up to date"
    refused = f" ({study.mlflow_error})" if study.mlflow_error else ""
    rows = {
        "study": study.name,
        "state": f"{_format_state(study)} ({study.reason})" if study.reason else _format_state(study),
        "model": study.model,
        "data": study.source,
        "objective": f"{study.direction} {study.metric}" if study.metric else "chosen once the data has been read",
        "trials": f"{sum(study.trials.values())} of {study.budget}: {counts}",
        **(
            {"attempts": f"{study.failed_attempts} failed, the last of {study.last_failed_attempt}"}
            if study.failed_attempts
            else {}
        ),
        **_format_changes(study),
        "best": best,
        **_format_curve(study),
        **{f"  {name}": format_cell(value) for name, value in study.best_params.items()},
        **_format_baselines(study),
        "time": format_duration(study.seconds),
        **({"epochs": f"{study.epochs} trained in all trials"} if study.epochs else {}),
        **({"cost": f"{used} in all trials"} if (used := format_use(*_list_use(study.resources))) else {}),
        "MLflow": f"{study.page or study.tracking_uri}: {waiting}{refused}",
        "files": study.folder,
        **({"notes": "\n".join(f"- {note}" for note in study.notes)} if study.notes else {}),
    }
    _print_pairs(rows)


def _format_curve(study: StudyView) -> dict[str, str]:
    """Return the best score so far as a line, and what the best trial cost; as far as they are known."""
    curve = draw_sparkline(study.curve, _MOST_CURVE, choose_levels(sys.stdout.encoding))
    time = "" if study.best_seconds is None else format_duration(study.best_seconds)
    cost = ", ".join(part for part in (time, format_use(*_list_use(study.best_resources))) if part)
    return {
        **({"  progress": f"{curve} from {study.curve[0]:.6g}"} if len(study.curve) > 1 else {}),
        **({"  cost": cost} if cost else {}),
    }


def _list_use(use: ResourceUse) -> tuple[float | None, int | None, int | None]:
    return use.cpu_s, use.peak_memory_bytes, use.peak_gpu_memory_bytes


def _format_changes(study: StudyView) -> dict[str, str]:
    return {
        f"change {number}": f"{'; '.join(change.differences)} ({change.kept} of {change.before} trials kept)"
        for number, change in enumerate(study.changes, start=1)
    }


def print_status(status: StudyStatus) -> None:
    """Print the status of a study."""
    print(f"{status.study} {status.state}: {status.reason}")


def print_submission(submitted: SubmissionResult) -> None:
    """Print the result of a submission."""
    what = f"in the queue, place {submitted.place}" if submitted.place else submitted.state
    print(f"{submitted.study} is {what}" if submitted.is_new else f"{submitted.study} was submitted before: {what}")
    print(f"next: {submitted.next}")


def print_sync(done: Sequence[SyncResult]) -> None:
    """Print the records that were delivered to MLflow, and those that were not."""
    for each in done:
        what = f"{format_count(each.delivered, 'record')} delivered" if each.delivered or each.left else "up to date"
        print(f"{each.study}: {what}{_format_remaining(each.left, each.reason)}")
    if not done:
        print("MLflow is up to date")


def print_rebuild(done: RebuildResult) -> None:
    """Print the runs that were rebuilt in MLflow, and the records that were not delivered."""
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    counts = f"{format_count(done.trials, 'trial')} rebuilt, {format_count(done.delivered, 'record')} delivered"
    print(f"{done.study}: {counts}{_format_remaining(done.left, done.reason)}")
    if done.left:
        print(f"next: kerastudy sync {done.study}")


def _format_remaining(left: int, reason: str) -> str:
    return f", {left} left{f' ({reason})' if reason else ''}" if left else ""


def print_best(best: BestTrial) -> None:
    """Print the best trial."""
    # The first objective stands with the epoch below; a study with one objective lists none here.
    others = zip(best.objectives[1:], best.trial.values[1:], strict=True)
    rows = {
        "study": best.study,
        "trial": format_trial_name(best.trial.number),
        best.metric: f"{best.trial.values[0]:.6g} at epoch {best.trial.best_epoch}",
        **{objective.name: f"{value:.6g}" for objective, value in others},
        **_format_selection(best),
        **_format_baselines(best),
        **{name: f"{value:.6g}" for name, value in best.test.items()},
        **{f"  {name}": format_cell(value) for name, value in best.trial.params.items()},
        "model": f"none: {best.no_model}" if best.no_model else best.model,
    }
    _print_pairs(rows)
    if best.pareto_front:
        table = make_table("pareto front", *(f"{each.name} ({each.direction})" for each in best.objectives))
        for trial in best.pareto_front:
            table.add_row(format_trial_name(trial.number), *(f"{value:.6g}" for value in trial.values))
        print()
        print_table(table)
        name = best.objectives[-1].name
        print(f"export one of them with --trial N, or the best within bounds with --at-most {name}=VALUE")


def _format_baselines(shown: StudyView | BestTrial) -> dict[str, str]:
    rows = {"baselines": text} if shown.baselines and (text := shown.baselines.describe()) else {}
    forecasts = {"forecasts": shown.forecast} if shown.forecast else {}
    return {**rows, **({"  note": shown.unbeaten} if shown.unbeaten else {}), **forecasts}


def _format_selection(best: BestTrial) -> dict[str, str]:
    """Return the choice of the winner, if there were retrainings."""
    rows = {f"  {format_trial_name(each.number)}": each.describe() for each in best.finalists}
    if best.finalists_reason:
        rows["  selection"] = best.finalists_reason
    if best.refit_reason:
        rows["  refit"] = best.refit_reason.removeprefix("refit ")
    if best.ensemble_reason:
        hint = "; export it with --ensemble" if best.ensemble_reason.startswith("ensemble kept") else ""
        rows["  ensemble"] = best.ensemble_reason.removeprefix("ensemble ") + hint
    return rows


def print_check(study: str, checked: StudyCheck) -> None:
    """Print the results of a study's check."""
    summary, notes = checked.summary, (*checked.summary.notes, *checked.notes)
    rows = {
        "study": f"{study}: ok",
        "rows": ", ".join(f"{count} {part}" for part, count in summary.rows.items()),
        "task": "\n".join([summary.describe_task(), *_list_class_lines(summary.report)]),
        "inputs": "\n".join([str(len(summary.raw)), *_format_inputs(summary)]),
        "features": _format_features(summary.features),
        "space": "\n".join(checked.space),
        "smallest": _format_model_check(checked.smallest),
        "largest": _format_model_check(checked.largest),
        **({"notes": "\n".join(f"- {note}" for note in notes)} if notes else {}),
    }
    _print_pairs(rows)


def _list_class_lines(report: DataReport | None) -> list[str]:
    return report.list_class_lines() if report else []


def print_starter(written: StarterFile) -> None:
    """Print where a study file was written, what was decided for it, and the next commands."""
    print(f"{written.file}: {written.task}, model {written.model}")
    for note in written.notes:
        print(f"- {note}")
    print(f"next: kerastudy validate {shlex.quote(written.file)}")
    print(f"      kerastudy run {shlex.quote(written.file)}")


def print_export(exported: ExportResult) -> None:
    """Print the files of an export, each compared with the Keras model."""
    made = f", {exported.made}" if exported.made else ""
    print(f"{exported.study} {format_trial_name(exported.trial)}{made} -> {exported.folder}")
    for parity in exported.files:
        for line in _format_parity(parity):
            print(line)
    if exported.test:
        print(f"  {format_metrics(exported.test)}")


def print_notes(notes: Sequence[str]) -> None:
    """Print notes, apart from results."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def print_predictions(done: Predictions) -> None:
    """Print where predictions are, and their columns."""
    which = f"{done.study} {format_trial_name(done.trial)}"
    print(f"{which} -> {done.file}: {format_count(done.rows, 'row')} with {', '.join(done.columns)}")


def print_promotion(done: PromotionResult) -> None:
    """Print the comparison of a trial's model with the version that had the alias, and the decision."""
    which = f"{done.study} {format_trial_name(done.trial)}"
    against = f" against {done.holder}" if done.holder else ""
    if (compared := done.comparison) is not None:
        print(f"{which}{against}, on {format_count(compared.rows, 'row')} of the {compared.part} part")
        table = make_table("metric", which, *([done.holder] if compared.rival_scores else []))
        for name, value in compared.scores.items():
            rival = [format_cell(compared.rival_scores.get(name))] if compared.rival_scores else []
            table.add_row(name, format_cell(value), *rival)
        print_table(table)
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    print(done.reason)


def _format_parity(parity: Parity) -> Iterator[str]:
    yield (
        f"  {parity.file}: {parity.size_bytes / 1e6:.2f} MB, largest difference from the Keras model "
        f"{parity.largest_difference:.1e} on {parity.rows} rows"
        + ("" if parity.agreement is None else f", decisions equal on {parity.agreement:.1%}")
    )
    score = "" if parity.score is None else f"{parity.metric} {parity.score:.6g} (Keras {parity.keras_score:.6g})"
    times = [f"{each.median_ms:.2f} ms for {format_count(each.batch, 'row')}" for each in parity.latency]
    if details := [score, *times] if score else times:
        yield f"    {', '.join(details)}"
    if parity.note:
        before = f"; {parity.preprocessing_file} goes before it" if parity.part == "network" else ""
        yield f"    {parity.note}{before}"


def print_replay(replayed: ReplayResult) -> None:
    """Print the result of a replay, then what it depends on; differences in full."""
    came_out = {"different": "came out different", "unknown": "left nothing to compare"}
    agreement = came_out.get(replayed.agreement) or f"came out {_AGREEMENTS[replayed.agreement]}"
    print(f"{replayed.study} {format_trial_name(replayed.trial)} {agreement}")
    how = _TRAINED.get(replayed.trainer, f" by {replayed.trainer}")
    print(f"trained again{how}, on {replayed.trained_on}; {format_duration(replayed.seconds)} in all")
    for note in replayed.notes:
        print(f"note: {note}")
    if replayed.folder is not None:
        print(f"files: {replayed.folder}")
    width = max(len(each.name) for each in replayed.compared) + 2
    for topic in dict.fromkeys(each.topic for each in replayed.compared):
        print(f"\n{topic}")
        for name, line in _format_topic(topic, [each for each in replayed.compared if each.topic == topic]):
            print(f"  {name:<{width}}{line}")


def _format_topic(topic: str, compared: Sequence[ItemComparison]) -> Iterator[tuple[str, str]]:
    """Yield a name and a line for each comparison; of the environment, for differences and the number of equal ones."""
    in_full = topic != "environment"
    yield from ((each.name, _format_comparison(each)) for each in compared if in_full or not _is_equal(each))
    if not in_full and (equal := sum(map(_is_equal, compared))):
        yield ("all" if equal == len(compared) else "others"), f"equal ({equal})"


def _is_equal(compared: ItemComparison) -> bool:
    return compared.agreement == "equal"


def _format_comparison(compared: ItemComparison) -> str:
    """Return a comparison in words: the agreement, the two values if they are short, the note."""
    if compared.agreement == "unknown":
        return compared.note
    text: str = compared.agreement
    if compared.largest is not None:
        text = _AGREEMENTS[compared.agreement]
        text += f" ({compared.largest:.2g})" if compared.largest else ""
    values = [value for value in (compared.recorded, compared.now) if isinstance(value, str | int | float)]
    if values and compared.agreement == "equal":
        text += f" ({_shorten(values[0])})"
    elif values:
        text += f": {_shorten(compared.recorded)} then, {_shorten(compared.now)} now"
    return f"{text}{'; ' if values else ': '}{compared.note}" if compared.note else text


def _shorten(value: object) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else "nothing" if value is None else str(value)
    return f"{text[:12]}..." if _DIGEST.fullmatch(text) else text


def _format_features(features: Features) -> str:
    """Return the shapes of the preprocessed inputs, which a user model must accept."""
    parts = [
        f"dense ({features.dense})" if features.dense else "",
        f"codes ({len(features.codes)})" if features.codes else "",
        f"image {features.image}" if features.image else "",
        f"series {features.series}" if features.series else "",
        *(f"{name} ({length} words of {count})" for name, length, count in features.text),
    ]
    return ", ".join(part for part in parts if part)


def _format_inputs(summary: DataSummary) -> list[str]:
    """Return a line for each column; for many columns, a line for each encoding."""
    encodings, columns = summary.encodings, summary.report.columns if summary.report else ()
    if len(encodings) <= _MOST_INPUTS:
        width = max((len(name) for name in encodings), default=0)
        facts = {column.name: _format_column(column, sum(summary.rows.values())) for column in columns}
        return [f"{name:<{width}}  {meaning}{facts.get(name, '')}" for name, meaning in encodings.items()]
    alike: dict[str, list[str]] = {}
    for name, meaning in encodings.items():
        alike.setdefault(meaning, []).append(name)
    # A thousand columns usually have a handful of encodings.
    lines = [f"{len(names)} {meaning} ({_list_first(names)})" for meaning, names in alike.items()]
    rest = [f"and {len(lines) - _MOST_INPUTS} more encodings"] if len(lines) > _MOST_INPUTS else []
    return lines[:_MOST_INPUTS] + rest


def _format_column(column: ColumnReport, rows: int) -> str:
    parts = [format_count(column.distinct, "value")]
    if column.missing:
        parts.append(f"{column.missing / max(1, rows):.1%} missing")
    return f"; {', '.join(parts)}"


def _list_first(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_NAMED_COLUMNS])
    return listed if len(names) <= _NAMED_COLUMNS else f"{listed} and {len(names) - _NAMED_COLUMNS} more"


def _format_model_check(model: ModelCheck) -> str:
    if model.refused:
        return f"not tried: {model.refused.removeprefix('not trained: ')}"
    return (
        f"{model.parameters:,} parameters, about {model.memory_bytes / 1e6:,.1f} MB to train, "
        f"about {format_duration(model.first_s + model.epoch_s * model.epochs)} "
        f"for {format_count(model.epochs, 'epoch')}"
    )


def make_table(*headings: str) -> Table:
    """Return an empty table with these columns."""
    # No box: plain columns can be cut by awk and pasted into a mail.
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "reason")
    return table


def print_table(table: Table) -> None:
    """Print a table."""
    # A table is as wide as it needs to be: fitted to a narrow terminal, its columns would lose their ends.
    make_console(highlight=False, width=10_000).print(table)


def _print_pairs(rows: Mapping[str, str]) -> None:
    """Print names with their values; a terminal has the names in bold, and long values below their beginnings."""
    console = make_console(highlight=False)
    indent = max(len(name) for name in rows) + 2
    for name, value in rows.items():
        lines = value.split("\n")
        if console.is_terminal:
            room = max(_LEAST_ROOM, console.width - indent)
            # A path or an address stays whole, so that it can be copied.
            lines = [part for line in lines for part in _wrap(line, room)]
            console.print(make_text(f"{name:<{indent}}", "bold") + make_text(lines[0]), soft_wrap=True)
        else:
            print(f"{name:<{indent}}{lines[0]}")
        for line in lines[1:]:
            print(" " * indent + line)


def _wrap(line: str, room: int) -> list[str]:
    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]


def _convert_to_plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # `asdict` converts nested ones too; anything else is a defect and must not become a string unnoticed.
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
