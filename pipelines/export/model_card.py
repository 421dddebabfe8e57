"""Model card of an exported model: its data, its search, its files and its limits."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from pipelines.data.prepared import DataSummary, Task, list_channels
from pipelines.export.parity import Parity
from pipelines.selection.finalists import Finalist
from search_spaces.safe_text import escape_markdown, format_code
from search_spaces.values import Value

_PACKAGES = ("kerastudy", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class ModelOrigin:
    """Facts of the study that a model comes from.

    Attributes:
        study_file: name of the file for `document`, the text of the study file.
        split: how rows were divided, in words.
        budget: the study's budget, in words.
        trials: number of trials by state.
        value: the trial's score by the objective; None where it has none.
        is_winner: whether the trial is the study's best.
        test: the winner's metrics on the test rows.
        importances: each parameter's share in the differences between good trials and others, largest first; empty
            where unknown.
        finalists: the finalists with their retrainings, the winner first; empty for a study without retrainings.
        made: how the model was made from the trial's, such as a refit; empty for the trial's model.
        refit: why the winner's refit is delivered, or is not; empty where none was compared.
        ensemble: the same of its ensemble.
        baselines: scores of simple models on the same rows; empty where there are none.
        unbeaten: those that the winner does not beat.
    """

    study: str
    trial: int
    study_file: str
    document: str
    model: str
    split: str
    budget: str
    space: Mapping[str, str]
    metric: str
    direction: str
    trials: Mapping[str, int]
    value: float | None
    is_winner: bool
    test: Mapping[str, float] = field(default_factory=dict)
    importances: Mapping[str, float] = field(default_factory=dict)
    finalists: Sequence[Finalist] = ()
    made: str = ""
    refit: str = ""
    ensemble: str = ""
    baselines: str = ""
    unbeaten: str = ""


def render_model_card(
    origin: ModelOrigin, summary: DataSummary, config: Mapping[str, Any], parities: Sequence[Parity]
) -> str:
    """Return the card as Markdown.

    Args:
        origin: the study.
        summary: its data.
        config: the trial's `config.json`.
        parities: the files written.
    """
    parts = [
        f"# {origin.study}, trial {origin.trial}",
        _render_opening(origin, summary),
        "## Data",
        _render_data(origin, summary),
        "## Search",
        _render_search(origin),
        "## Hyperparameters",
        _render_table(("name", "value"), map(_render_value, config["params"].items())),
        "## Files",
        render_parity_table(parities),
        *[f"- `{parity.file}`: {escape_markdown(parity.note)}." for parity in parities if parity.note],
        "## Limits",
        _render_limits(summary, parities),
        "## Environment",
        _render_environment(config),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_parity_table(parities: Sequence[Parity]) -> str:
    """Return how the files compare with the Keras model, as a Markdown table."""
    metric = next((parity.metric for parity in parities if parity.metric), "score")
    batches = [latency.batch for latency in parities[0].latency] if parities else []
    head = ("format", "file", "MB", "largest difference", "same decision", metric)
    times = tuple(f"batch {batch}: median / p99 ms" for batch in batches)
    return _render_table((*head, *times), (_render_parity_row(parity) for parity in parities))


def _render_parity_row(parity: Parity) -> tuple[str, ...]:
    return (
        parity.format,
        f"`{parity.file}`" + (f" after `{parity.preprocessing_file}`" if parity.preprocessing_file else ""),
        f"{parity.size_bytes / 1e6:.3f}",
        f"{parity.largest_difference:.1e}",
        "" if parity.agreement is None else f"{parity.agreement:.2%}",
        "" if parity.score is None else f"{parity.score:.5g}",
        *(f"{each.median_ms:.2f} / {each.p99_ms:.2f}" for each in parity.latency),
    )


def _render_opening(origin: ModelOrigin, summary: DataSummary) -> str:
    task = summary.task
    rank = "the winner" if origin.is_winner else "a trial, not the winner,"
    if summary.given is not None:
        what = f"takes {summary.given.describe_inputs()} as its training did, unchanged ({summary.describe_task()})"
    else:
        targets = "; ".join(map(_describe_target, task.list_heads())) if task.heads else _describe_target(task)
        what = f"predicts {targets} from raw columns, preprocessing included"
    return (
        f"A Keras model (`{origin.model}`) that {what}. "
        f"It is {rank} of the study `{origin.study}`, whose file is `{origin.study_file}`"
        + (f", {origin.made}. " if origin.made else ". ")
        + "`SERVE.md` describes how to load it."
    )


def _describe_target(task: Task) -> str:
    classes = f", one of {len(task.classes)} classes" if task.classes else ""
    targets = ", ".join(map(escape_markdown, task.targets))
    return f"{targets}{classes} ({task.kind.replace('_', ' ')})"


def _render_data(origin: ModelOrigin, summary: DataSummary) -> str:
    rows = ", ".join(f"{count} {part}" for part, count in summary.rows.items())
    lines = [
        f"- Source: {format_code(summary.source)}",
        f"- Digest (SHA-256 over raw values and split): `{summary.digest}`",
        f"- Rows: {rows}" + (f"; {summary.folds} folds" if summary.folds > 1 else ""),
        f"- Split: {origin.split}",
        *[f"- {escape_markdown(note)}" for note in summary.notes],
    ]
    columns = _render_table(("column", "kind", "what preprocessing makes of it"), _render_columns(summary))
    return "\n".join(lines) + "\n\n" + columns


def _render_columns(summary: DataSummary) -> Iterable[tuple[str, ...]]:
    for column in summary.raw:
        name = column.column or column.name
        encoding = summary.encodings.get(name, summary.encodings.get(column.name, ""))
        yield format_code(name), column.kind, escape_markdown(encoding)
        for place, channel in enumerate(list_channels(summary, column.name)):
            made = escape_markdown(summary.encodings.get(channel.name, encoding))
            yield format_code(f"{name}[:, :, {place}]: {channel.name}"), channel.kind, made


def _render_search(origin: ModelOrigin) -> str:
    trials = ", ".join(f"{count} {state}" for state, count in origin.trials.items() if count)
    score = "none" if origin.value is None else f"{origin.value:.6g}"
    test = ", ".join(f"{name} {value:.6g}" for name, value in origin.test.items())
    lines = [
        f"- Objective: {origin.direction} `{origin.metric}`",
        f"- Budget: {origin.budget}; trials: {trials}",
        f"- Score of this trial on the validation rows, which chose it among the trials: {score}",
        _render_finalists(origin.finalists),
        f"- {origin.refit[:1].upper()}{origin.refit[1:]}" if origin.refit else "",
        f"- {origin.ensemble[:1].upper()}{origin.ensemble[1:]}" if origin.ensemble else "",
        f"- Baselines on the same rows: {origin.baselines}" if origin.baselines else "",
        f"- The winner is {origin.unbeaten}" if origin.unbeaten else "",
        f"- On the test rows, which nothing was chosen by: {test}" if test else "",
    ]
    importances = [(format_code(name), f"{share:.1%}") for name, share in origin.importances.items()]
    return "\n\n".join(
        part
        for part in (
            "\n".join(line for line in lines if line),
            _render_table(("parameter", "searched over"), map(_render_value, origin.space.items())),
            "How much each parameter mattered (PED-ANOVA over the complete trials):" if importances else "",
            _render_table(("parameter", "share"), importances) if importances else "",
        )
        if part
    )


def _render_finalists(finalists: Sequence[Finalist]) -> str:
    if not finalists:
        return ""
    # With one finalist, the retrainings measured and chose nothing.
    among = f"chosen among {len(finalists)} trials " if len(finalists) > 1 else ""
    return f"- Mean of further retrainings {among}by which nothing else was chosen: {finalists[0].describe()}"


def _render_limits(summary: DataSummary, parities: Sequence[Parity]) -> str:
    lines = [
        "The score holds for rows drawn as these were. Groups of rows, fairness, and data that has shifted "
        "were not examined.",
        "A validation score that chose among trials is better than the model: only the test score chose nothing.",
        "A missing number is filled with the training rows' median; a word that training never saw counts as unknown."
        if summary.given is None and any(column.kind == "string" for column in summary.raw)
        else "",
        f"The files were compared on {parities[0].rows} rows; latencies are of the machine of the export."
        if parities
        else "",
    ]
    return "\n".join(f"- {line}" for line in lines if line)


def _render_environment(config: Mapping[str, Any]) -> str:
    # Of this process, which has the packages of the worker that wrote the files.
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    return (
        f"- Trained with Keras {config['keras']}, seed {config['seed']}"
        + (f", {config['threads']} threads" if config.get("threads") else "")
        + f"\n- Exported with Python {platform.python_version()} on {platform.system()} {platform.machine()}: "
        + versions
    )


def _render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # An unescaped bar in a column's name would end the cell.
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def _render_value(named: tuple[str, Value]) -> tuple[str, str]:
    name, value = named
    return format_code(name), escape_markdown(f"{value:.6g}" if isinstance(value, float) else str(value))
