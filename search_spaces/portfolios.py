"""Portfolios of the shipped families: starting points learned on other data sets, and their mapping into a space.

A portfolio's file stands beside the shipped spaces; its opening comment gives its provenance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from search_spaces.parameters import Categorical, Fixed, Float, Int, Parameter, has_default
from search_spaces.space import Space
from search_spaces.values import Value, is_number
from search_spaces.yaml_reader import parse_document

_FOLDER = Path(__file__).parent / "shipped" / "portfolios"

# Chosen: a point that keeps less of what was learned is no better than a random one.
_LEAST_KEPT = 0.5
_LAYER = re.compile(r"_\d+$")


@cache
def read_portfolio(family: str) -> tuple[Mapping[str, Value], ...]:
    """Return the starting points of a family, the best first; empty where none were learned."""
    file = _FOLDER / f"{family}.yaml"
    if not file.exists():
        return ()
    points = parse_document(file.read_text(encoding="utf-8"), f"{file.name} (shipped)").get(("points",))
    assert isinstance(points, list)
    return tuple(points)


def list_portfolio(family: str, space: Space) -> tuple[dict[str, Value], ...]:
    """Return a family's starting points as points of a study's space, each once.

    Left out are points that keep too little there or break a constraint, and those that the space tries anyway.
    """
    found: list[dict[str, Value]] = []
    known = space.list_points()
    for point in read_portfolio(family):
        fitted = fit_point(space, point)
        if fitted is None or fitted in known or fitted in found or space.find_violations(fitted):
            continue
        found.append(fitted)
    return tuple(found)


def fit_point(space: Space, point: Mapping[str, Value], *, is_narrower: bool = False) -> dict[str, Value] | None:
    """Return a point of `space` that is as near to `point` as its ranges allow; None if little of the point is left.

    With `is_narrower`, what the space does not search is no loss: it may fix what the point's own space searched.

    A number is moved into its range. The layers of a repeated parameter share the point's value. A parameter that
    cannot have the point's value, or that the point lacks, has its default; without one it is left to the sampler.
    """
    fitted: dict[str, Value] = {}
    kept: set[str] = set()
    searched: set[str] = set()
    for name, parameter in space.parameters.items():
        if not space.is_active(parameter, fitted):
            continue
        source = name if name in point else _LAYER.sub("", name)
        if not isinstance(parameter, Fixed):
            searched.add(source)
        near = _find_nearest(parameter, point[source]) if source in point else None
        if near is not None:
            fitted[name] = near
            kept.add(source)
        elif isinstance(parameter, Fixed) or has_default(parameter):
            fitted[name] = parameter.default  # type: ignore[assignment]  # it has one
    if is_narrower:
        return fitted if kept & searched and len(kept & searched) >= _LEAST_KEPT * len(searched) else None
    # What the space lacks or fixes otherwise counts as lost, and so does what is no longer active.
    return fitted if len(kept) >= _LEAST_KEPT * len(point) else None


def _find_nearest(parameter: Parameter, value: Value) -> Value | None:
    """Return the value of a searched parameter that is nearest; None where no value stands for it."""
    if parameter.contains(value):
        return value
    if isinstance(parameter, (Float, Int)) and is_number(value):
        moved = min(max(value, parameter.low), parameter.high)
        if isinstance(parameter, Int):
            return parameter.get_value(parameter.find_index(moved))
        return moved if parameter.step is None else parameter.get_value(parameter.find_index(moved))
    return _find_nearest_choice(parameter, value) if isinstance(parameter, Categorical) else None


def _find_nearest_choice(parameter: Categorical, value: Value) -> Value | None:
    numbers: Iterator[float] = (choice for choice in parameter.choices if is_number(choice))
    if not is_number(value):
        return None
    return min(numbers, key=lambda choice: abs(choice - value), default=None)
