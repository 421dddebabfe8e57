"""Text of a starter's study file: the keys, with comments that state what was inferred and which key changes it."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.data.prepared import DataSummary, Task
from pipelines.data.report import ColumnReport, TargetReport
from pipelines.models.catalogue import find_family
from pipelines.operations.starter.plan import Plan
from pipelines.operations.starter.source import SourceFacts
from pipelines.study.objective import Objective
from search_spaces.safe_text import escape_controls
from search_spaces.yaml_writer import to_yaml

_WIDTH = 120
_MOST_COLUMNS = 60
_COMMON = 3
_SERIES_KEYS = (
    "length: rows of a window, which the model sees; space.window searches how many of them it uses",
    "horizon: rows ahead, one output each; 0 predicts the target at a window's last row from the other columns",
    "known: [COLUMN] under series gives a window the values of a column ahead, such as a calendar's",
    "by_input: true under series gives a model the name of a window's series, so that it learns a level for each",
    "stride: 7 under series takes every 7th window; docs/your-data.md has all of it",
)
_TYPES = {"number_list": "list", "word_list": "list"}
"""Kinds of columns that `data.columns` has another word for."""


@dataclass(frozen=True)
class Starter:
    """All that a starter's study file states.

    Attributes:
        file: name of the file.
        data: its section `data`.
        reasons: per key of that section the reason for its value.
        notes: what looks wrong with the data.
    """

    file: str
    name: str
    data: Mapping[str, Any]
    reasons: Mapping[str, str]
    facts: SourceFacts
    summary: DataSummary
    plan: Plan
    objective: Objective | None = None
    notes: Sequence[str] = ()


def write_document(starter: Starter) -> str:
    """Return the text of the file."""
    parts = [
        _write_opening(starter),
        [f"study: {format_flow(starter.name)}"],
        _write_data(starter),
        _write_model(starter.plan),
        _write_end(starter),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _write_opening(starter: Starter) -> list[str]:
    summary, quoted = starter.summary, shlex.quote(starter.file)
    kinds = f", {summary.report.describe_kinds()} columns" if summary.report and summary.report.columns else ""
    counted = "windows" if "series" in starter.data else "rows"
    lines = [
        *_comment(f"A study of {summary.source}, written by `kerastudy init`."),
        "#",
        *_comment(f"  kerastudy validate {quoted}", f"  kerastudy run {quoted}"),
        "#",
        *_comment(
            f"{_count_rows(starter)} {counted}{kinds}. Comments state what was inferred, and the key that changes it."
        ),
    ]
    if starter.notes:
        lines += ["#", *_comment("What looks wrong with the data, or was decided about it:")]
        for note in starter.notes:
            lines += _comment(f"- {note}", indent="  ")
    return lines


def _count_rows(starter: Starter) -> str:
    return f"{sum(starter.summary.rows.values()):,}"


def _write_data(starter: Starter) -> list[str]:
    lines = ["data:"]
    for key, value in starter.data.items():
        written = f"  {key}: {format_flow(value)}"
        lines += _with_comment(written, starter.reasons.get(key, ""), indent="  ")
        if key == "target" and "task" not in starter.data:
            lines += _comment(_describe_target(starter), before="  ")
    if starter.facts.form == "table":
        lines += _write_columns(starter)
    if "series" in starter.data:
        lines += _comment(*_SERIES_KEYS, before="  ", indent="  ")
    return lines


def _describe_target(starter: Starter) -> str:
    summary = starter.summary
    known = summary.report.targets if summary.report else ()
    if summary.task.heads:
        values = {each.name: _describe_values(each) for each in known}
        tasks = (_describe_task(head, values.get(head.targets[0], "")) for head in summary.task.list_heads())
        return f"tasks: {'; '.join(tasks)}; data.tasks changes one"
    most = 1 if "series" in starter.data else _COMMON  # the rows ahead are of one kind
    details = "; ".join(filter(None, (_describe_values(each) for each in known[:most])))
    kind = summary.task.kind.replace("_", " ")
    return f"task: {kind}{f' ({details})' if details else ''}; data.task changes it"


def _describe_task(head: Task, values: str) -> str:
    return f"{head.targets[0]} {head.kind.replace('_', ' ')}{f' ({values})' if values else ''}"


def _describe_values(target: TargetReport) -> str:
    if target.classes:
        return target.describe_classes()
    if not target.low:
        return ""
    return f"from {min(target.low.values()):.5g} to {max(target.high.values()):.5g}"


def _write_columns(starter: Starter) -> list[str]:
    columns = starter.summary.report.columns if starter.summary.report else ()
    dates = [column.name for column in columns if column.kind == "date"]
    lines = []
    if dates and starter.facts.series is None:
        order = format_flow({"split": {"order": dates[0], "validation": 0.2, "test": 0.1}})[1:-1]
        lines += _comment(f"so that the newest rows are the test rows: {order}", before="  ")
    if not columns:
        return lines
    lines += _comment("columns, as inferred; uncomment this key and the lines that are wrong:", before="  ")
    lines.append("  # columns:")
    for column in columns[:_MOST_COLUMNS]:
        key = format_flow(column.name)
        written = f"  #   {key}: {{type: {_TYPES.get(column.kind, column.kind)}}}"
        lines += _with_comment(written, _describe_column(column), indent="  #   ", is_comment=True)
    if len(columns) > _MOST_COLUMNS:
        lines.append(
            f"  #   and {len(columns) - _MOST_COLUMNS} more; "
            f"kerastudy validate {shlex.quote(starter.file)} --json has all"
        )
    return lines


def _describe_column(column: ColumnReport) -> str:
    parts = ["1 value" if column.distinct == 1 else f"{column.distinct:,} values"]
    if column.kind == "numeric" and column.low is not None and column.high is not None:
        parts[0] += f" from {column.low:.5g} to {column.high:.5g}"
    if column.common and column.kind == "string":
        shown = ", ".join(list(column.common)[:_COMMON])
        parts[0] += f" such as {shown[:60]}"
    if column.missing:
        parts.append(f"{column.missing:,} missing")
    return ", ".join(parts)


def _write_model(plan: Plan) -> list[str]:
    family = find_family(plan.model)
    lines = _with_comment(f"model: {plan.model}", f"for {plan.why}; {plan.others}")
    lines += ["", *_comment(f"The shipped space {plan.space_name}, chosen by the number of rows; a value is fixed.")]
    lines.append("space:")
    for name, value in plan.space.items():
        parameter = family.find(name)
        about = parameter.doc.split(". ")[0].rstrip(".") if parameter else ""
        lines += _with_comment(f"  {name}: {format_flow(value)}", about, indent="  ")
    return lines


def _write_end(starter: Starter) -> list[str]:
    objective, plan = starter.objective, starter.plan
    written = format_flow({"metric": objective.metric, "direction": objective.direction}) if objective else ""
    return [
        *(_with_comment(f"objective: {written}", "by the task") if objective else ()),
        *_with_comment(f"budget: {{trials: {plan.trials}, time: {plan.time}}}", "the first that is reached ends it"),
        *_comment("selection: {finalists: 3, seeds: 3}   retrains the best trials, so that luck does not choose"),
        *_comment(f"export: {{register: {starter.name}}}   registers the winner in MLflow"),
    ]


def _with_comment(line: str, comment: str, *, indent: str = "", is_comment: bool = False) -> list[str]:
    """Return a line with its comment behind it, or above it where the two are too long."""
    if comment and len(line) + len(comment) + 4 <= _WIDTH:
        return [f"{line}  # {escape_controls(comment)}"]
    above = _comment(comment, before=indent) if comment and not is_comment else []
    return [*above, line]


def _comment(*texts: str, before: str = "", indent: str = "") -> list[str]:
    """Return texts as comments; a line break or another control character in them is shown and ends no comment."""
    lines = []
    for text in texts:
        plain = escape_controls(text)
        leading = plain[: len(plain) - len(plain.lstrip())]
        width = _WIDTH - len(before) - 2
        wrapped = textwrap.wrap(plain, width, initial_indent=leading, subsequent_indent=indent) or [""]
        lines += [f"{before}# {line}" for line in wrapped]
    return lines


def format_flow(value: Any) -> str:
    """Return plain data as YAML on one line.

    >>> format_flow({"type": "float", "low": 1e-05, "choices": [True, "a b", "no"]})
    '{type: float, low: 1.0e-05, choices: [true, a b, "no"]}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{format_flow(key)}: {format_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_flow, value)) + "]"
    text = to_yaml([value]).strip().removeprefix("- ")
    # A long text is folded there; JSON's form of a text is YAML too.
    return json.dumps(value) if "\n" in text else text
