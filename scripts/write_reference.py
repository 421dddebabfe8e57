"""Writer of the generated parts of the reference pages: `make docs`.

A page holds prose written by hand and, between `<!-- generated: NAME ARGUMENT -->` and `<!-- end -->`, tables made here
from the study file's schema, the catalogue of model families and the command line. With `--check` nothing is written,
and outdated pages are listed.
"""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipelines import cli
from pipelines.models import catalogue, objectives, optimizer_catalogue, schedule_catalogue
from pipelines.models.hyperparameter import Hyperparameter
from pipelines.spec import schema, section, units
from search_spaces.shipped_spaces import list_shipped, read_shipped_text

DOCS = Path(__file__).parents[1] / "docs"
_WORDS: Mapping[Any, str] = {
    units.Seconds: "duration",
    units.Bytes: "size",
    section.Name: "name",
    section.Alias: "alias",
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "null",
    Any: "what the space language allows",
}
# The marks themselves are kept, so that the page can be filled again.
_PART = re.compile(r"(<!-- generated: (\S+)(?: (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` return 1 if one of them is not up to date."""
    only_check = "--check" in arguments
    behind = []
    for page in sorted(DOCS.glob("*.md")):
        written = page.read_text(encoding="utf-8")
        if (wanted := fill_page(written)) == written:
            continue
        behind.append(page)
        if not only_check:
            page.write_text(wanted, encoding="utf-8")
        print(f"{page.relative_to(DOCS.parent)}: {'outdated; run: make docs' if only_check else 'written'}")
    return 1 if behind and only_check else 0


def fill_page(page: str) -> str:
    """Return the page with all generated parts made again."""
    return _PART.sub(lambda part: f"{part[1]}\n{_GENERATORS[part[2]](part[3] or '')}\n\n{part[4]}", page)


def write_keys(section: str) -> str:
    """Return the table of a section's keys; `section` is a dotted path, empty for the file itself."""
    model = _find_section(section)
    # pydantic strips units from `field.annotation`; the hints still have them.
    hints = typing.get_type_hints(model, include_extras=True)
    rows = []
    for name, field in model.model_fields.items():
        written = field.alias or name
        rows.append(
            (f"`{written}`", _describe_type(hints[name], field), _format_default(field), field.description or "")
        )
    return _make_table(("key", "takes", "default", "meaning"), rows)


def write_parameters(family: str) -> str:
    """Return the table of a family's hyperparameters without those that all families share."""
    shared = {p.name for p in (*optimizer_catalogue.OPTIMIZER_PARAMETERS, *schedule_catalogue.SCHEDULE_PARAMETERS)}
    return _make_parameter_table(p for p in catalogue.FAMILIES[family].parameters if p.name not in shared)


def write_optimizer_parameters(_: str) -> str:
    """Return the table of the hyperparameters that optimizers take."""
    return _make_parameter_table(optimizer_catalogue.OPTIMIZER_PARAMETERS)


def write_schedule_parameters(_: str) -> str:
    """Return the table of the hyperparameters that learning-rate schedules take."""
    return _make_parameter_table(schedule_catalogue.SCHEDULE_PARAMETERS)


def write_optimizers(_: str) -> str:
    """Return the table of optimizers, each with its hyperparameters and Keras's defaults for them."""
    rows = []
    for name, taken in optimizer_catalogue.OPTIMIZERS.items():
        rows.append(
            (f"`{name}`", ", ".join(f"`{ours}` {_format_value(default)}" for ours, (_, default) in taken.items()))
        )
    return _make_table(("optimizer", "its hyperparameters, with Keras's defaults"), rows)


def write_schedules(_: str) -> str:
    """Return the table of learning-rate schedules, each with its hyperparameters."""
    rows = [
        (f"`{name}`", ", ".join(f"`{taken}`" for taken in (*names, "warmup_epochs")))
        for name, names in schedule_catalogue.SCHEDULES.items()
    ]
    return _make_table(("schedule", "takes"), rows)


def write_losses(_: str) -> str:
    """Return the table of losses by task."""
    return _make_task_table(objectives.LOSSES, "names, the default first")


def write_metrics(_: str) -> str:
    """Return the table of metrics by task."""
    return _make_task_table(objectives.METRICS, "names")


def write_shipped_spaces(_: str) -> str:
    """Return every shipped space: its opening comment, then its text."""
    return "\n\n".join(_format_space(name, read_shipped_text(name)) for name in list_shipped())


def write_command(_: str) -> str:
    """Return a section for every verb, with its arguments and options."""
    context = click.Context(cli.commands, info_name="kerastudy", **cli.commands.context_settings)
    parts = []
    for name in cli.commands.commands:
        verb = cli.commands.get_command(context, name)
        # In the order of registration, related verbs together; click's `--help` sorts them by name.
        if verb is not None and not verb.hidden:
            parts.append(_format_verb(name, verb, context))
    return "\n\n".join(parts)


def _find_section(path: str) -> type[BaseModel]:
    model: type[BaseModel] = schema.StudySpec
    for part in filter(None, path.split(".")):
        model = next(found for found in _list_models(model.model_fields[part].annotation))
    return model


def _list_models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _list_models(inner)


def _describe_type(annotation: Any, field: FieldInfo) -> str:
    words = _format_type(annotation)
    limits = [
        f"{sign} {_format_value(value)}"
        for rule in field.metadata
        for name, sign in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
        if (value := getattr(rule, name, None)) is not None
    ]
    return ", ".join([words, *limits])


def _format_type(annotation: Any) -> str:
    if annotation in _WORDS:
        return _WORDS[annotation]
    # Any class that is not in the table is a section: units and plain types are listed above.
    if isinstance(annotation, type):
        return "section"
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if origin is typing.Annotated:
        return _format_type(inner[0])
    words = [_format_type(part) for part in inner if part is not Ellipsis]
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words)
    return f"mapping of name to {words[1]}" if issubclass(origin, Mapping) else f"list of {words[0]}"


def _format_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{_format_value(value)}`"


def _make_parameter_table(parameters: Iterable[Hyperparameter]) -> str:
    rows = [
        (f"`{p.name}`", _describe_domain(p), f"`{_format_value(p.default)}`", p.doc + _describe_layers(p))
        for p in parameters
    ]
    return _make_table(("hyperparameter", "values", "default", "meaning"), rows)


def _describe_layers(parameter: Hyperparameter) -> str:
    name = parameter.name
    return f" Also per layer: `{name}_1`, `{name}_2`, ..." if parameter.per_layer else ""


def _describe_domain(parameter: Hyperparameter) -> str:
    if parameter.choices:
        return ", ".join(f"`{_format_value(choice)}`" for choice in parameter.choices)
    kind = "whole number" if parameter.kind == "int" else "number"
    low = f"at least {_format_value(parameter.least)}" if parameter.least > float("-inf") else ""
    high = f"at most {_format_value(parameter.most)}" if parameter.most < float("inf") else ""
    return ", ".join(filter(None, (kind, low, high)))


def _make_task_table(names: Mapping[Any, Iterable[str]], title: str) -> str:
    rows = [(kind, ", ".join(f"`{name}`" for name in named)) for kind, named in names.items()]
    return _make_table(("task", title), rows)


def _format_space(name: str, text: str) -> str:
    lines = text.splitlines()
    opening = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    comment = "\n".join(line.removeprefix("#").strip() for line in lines[:opening])
    return "\n\n".join([f"### {name}", comment, "```yaml\n" + "\n".join(lines[opening:]) + "\n```"])


def _format_verb(name: str, verb: click.Command, context: click.Context) -> str:
    usage = " ".join(verb.collect_usage_pieces(click.Context(verb, info_name=name, parent=context)))
    rows = []
    for parameter in verb.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            record = parameter.get_help_record(click.Context(verb, parent=context))
            rows.append(tuple(f"`{record[0]}`" if i == 0 else record[1] for i in range(2)) if record else ("", ""))
    options = _make_table(("option", "meaning"), rows) if rows else ""
    return "\n\n".join(
        filter(None, (f"### `kerastudy {name}`", f"`kerastudy {name} {usage}`", _format_help(verb), options))
    )


def _format_help(verb: click.Command) -> str:
    # click marks paragraphs that it must not fold with a backspace character.
    return "\n".join(line.strip() for line in (verb.help or "").replace("\b", "").splitlines()).strip()


def _format_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_format_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_format_value(item)}" for key, item in value.items()) + "}"
    return str(value)


def _make_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    # An unescaped bar would end the cell.
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


_GENERATORS: Mapping[str, Callable[[str], str]] = {
    "keys": write_keys,
    "parameters": write_parameters,
    "optimizer_parameters": write_optimizer_parameters,
    "schedule_parameters": write_schedule_parameters,
    "optimizers": write_optimizers,
    "schedules": write_schedules,
    "losses": write_losses,
    "metrics": write_metrics,
    "shipped_spaces": write_shipped_spaces,
    "command": write_command,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
