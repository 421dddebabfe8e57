"""Tools of all writers of formats: notes on settings that a format cannot express."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from search_spaces.parameters import MAX_CHOICES, UNSET, Categorical, Float, Int, Parameter, has_default
from search_spaces.space import Space


class Losses:
    """Collector of the settings that a format cannot express; one note for all parameters with the same loss."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._names: dict[str, list[str]] = {}

    def add(self, what: str, name: str) -> None:
        """Add a parameter to the note about a loss."""
        self._names.setdefault(what, []).append(name)

    def add_space(self, space: Space, *, defaults: bool = True, conditions: bool = True) -> None:
        """Add the losses of a format without constraints and starting points, or without defaults and conditions."""
        for parameter in space.declared:
            if conditions and parameter.when:
                self.add("has no conditions; these are drawn in every trial", parameter.name)
            if defaults and has_default(parameter):
                self.add("has no defaults; left out those of", parameter.name)
        for constraint in space.constraints:
            self.add("has no constraints; nothing there keeps", constraint.text)
        if space.start_from:
            self.add("has no points to start from; left out", f"{len(space.start_from)} under start_from")

    def remove_step(self, parameter: Float | Int) -> Parameter:
        """Return a parameter with a step as the list of its values, or without the step where they are too many."""
        if parameter.count is not None and parameter.count <= MAX_CHOICES:
            self.add("has no such steps; a list of their values stands in for", parameter.name)
            values = tuple(parameter.get_value(index) for index in range(parameter.count))
            default = UNSET if parameter.default is None else parameter.default
            return Categorical(parameter.name, values, default, parameter.when)
        self.add("has no such steps; all values in range are drawn for", parameter.name)
        return replace(parameter, step=None)

    def make_notes(self) -> tuple[str, ...]:
        """Return one note for each loss."""
        return tuple(f"{self._title} {what}: {', '.join(names)}" for what, names in self._names.items())


def steps_are_multiples(parameter: Float | Int) -> bool:
    """Return whether a parameter's values are all the multiples of its step from its lowest to its highest."""
    return (
        parameter.step is not None
        and not parameter.log
        # Through `str`: as binary fractions 0.3 is no multiple of 0.1.
        and Fraction(str(parameter.low)) % Fraction(str(parameter.step)) == 0
    )
