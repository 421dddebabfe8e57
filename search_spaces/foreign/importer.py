"""Tools of all readers of formats: values with their places, parameters, and notes on replacements."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from search_spaces.conditions import Condition
from search_spaces.errors import InputError, Problem
from search_spaces.foreign.alternatives import DeclaredParameter, separate_names
from search_spaces.foreign.base import ImportResult
from search_spaces.parameters import RESERVED, UNSET, Categorical, Fixed, Float, Int, InvalidSpaceError, Parameter
from search_spaces.space import Space
from search_spaces.values import Value, describe, format_value, is_number
from search_spaces.yaml_document import Document, KeyPath

When = tuple[Condition, ...]

_ODD = re.compile(r"[^A-Za-z0-9_./: -]")
# A limit that also refuses infinity and NaN.
_LARGEST = 1e300
_MIDDLE = 1.96  # standard deviations to both sides hold 95 % of a normal distribution


@dataclass(frozen=True)
class Range:
    """A range of numbers, both ends included."""

    low: float
    high: float
    whole: bool = False
    log: bool = False
    step: float | None = None


class Reader:
    """Collector of the parameters of one file, and of the notes on them."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._declared: list[DeclaredParameter] = []
        self._notes: list[Problem] = []
        self._problems: list[Problem] = []

    def note(self, path: KeyPath, message: str) -> None:
        """Add a note on the replacement of a setting without an exact equivalent."""
        self._notes.append(self.document.make_problem(path, message))

    def note_objective(self, path: KeyPath, metric: object, direction: object, target: object = None) -> None:
        """Add a note on the place of the objective in a study file."""
        parts = [f"metric: {format_value(metric)}"] if isinstance(metric, str) else []
        parts += [f"direction: {direction}"] if direction in ("minimize", "maximize") else []
        budget = f" and `budget: {{target: {target}}}`" if is_number(target) else ""
        if parts:
            self.note(path, f"is no part of a space; in a study file it is `objective: {{{', '.join(parts)}}}`{budget}")

    def take(self, path: KeyPath, read: Callable[[], Parameter | None]) -> None:
        """Add the parameter that `read` returns, or the problems that it raises, to what was found."""
        try:
            parameter = read()
        except InvalidSpaceError as unfit:
            self._problems += [self.document.make_problem(path, fault.message) for fault in unfit.faults]
        except InputError as error:
            self._problems += error.problems
        else:
            self._declared += [] if parameter is None else [DeclaredParameter(parameter, path)]

    def make_result(self, point: Mapping[str, Value] | None = None) -> ImportResult:
        """Return the collected parameters as a space; `point` becomes its starting point as far as it fits.

        Raises:
            InputError: with every problem found.
        """
        if self._problems:
            raise InputError(self._problems)
        declared = separate_names(self._declared, self.note)
        if not declared:
            raise InputError(self.document.make_problem((), "there is no parameter in it that can be imported"))
        try:
            space = Space(tuple(found.parameter for found in declared))
        except InvalidSpaceError as unfit:
            places = {found.parameter.name: found.path for found in declared}
            faults = ((places.get(str(fault.keys[0]) if fault.keys else "", ()), fault) for fault in unfit.faults)
            raise InputError(self.document.make_problem(path, fault.message) for path, fault in faults) from None
        return ImportResult(_add_starting_point(space, point or {}), tuple(self._notes))

    # What a file holds ----------------------------------------------------------------------------------------

    def read_mapping(self, path: KeyPath, example: str) -> dict[str, Any]:
        """Return the mapping at `path`; messages show `example`.

        Raises:
            InputError: if there is none.
        """
        found = self.document.get(path)
        if not isinstance(found, dict):
            raise self.make_error(path, f"expected a mapping such as {example}, got {describe(found)}")
        return found

    def read_items(self, path: KeyPath) -> list[Any]:
        """Return the list at `path`.

        Raises:
            InputError: if there is none.
        """
        found = self.document.get(path)
        if not isinstance(found, list) or not found:
            got = "an empty list" if found == [] else describe(found)
            raise self.make_error(path, f"expected a list of at least one item, got {got}")
        return found

    def read_values(self, path: KeyPath) -> list[Any]:
        """Return the list of single values at `path`.

        Raises:
            InputError: if there is none.
        """
        found = self.read_items(path)
        if compound := next((value for value in found if isinstance(value, (list, dict))), None):
            raise self.make_error(path, f"expected single values, got {describe(compound)}")
        return found

    def read_text(self, path: KeyPath) -> str:
        """Return the text at `path`.

        Raises:
            InputError: if there is none.
        """
        found = self.document.get(path)
        if not isinstance(found, str) or not found:
            raise self.make_error(path, f"expected text, got {describe(found)}")
        return found

    def read_number(self, path: KeyPath, *, whole: bool = False, default: float | None = None) -> float:
        """Return the number at `path`, which may be written as text; a whole one is an `int`.

        Raises:
            InputError: if there is none.
        """
        found = self.document.get(path, default)
        value = parse_number(found) if isinstance(found, str) else found
        if not is_number(value) or not -_LARGEST < value < _LARGEST or (whole and value != int(value)):
            raise self.make_error(path, f"expected a {'whole ' if whole else ''}number, got {describe(found)}")
        return int(value) if whole else value

    def make_error(self, path: KeyPath, message: str) -> InputError:
        """Return an error about the value at `path`."""
        return InputError(self.document.make_problem(path, message))

    # Parameters -----------------------------------------------------------------------------------------------

    def read_name(self, path: KeyPath, written: str) -> str:
        """Return a parameter's name here, with a note where it had to change."""
        name = make_valid_name(written)
        if name != written:
            self.note(path, f'"{written}" cannot be a name here: it is called "{name}"')
        return name

    def make_fixed(self, name: str, path: KeyPath, when: When = ()) -> Parameter | None:
        """Return the fixed parameter with the value at `path`; None for a list or a mapping."""
        value = self.document.get(path)
        if isinstance(value, (list, dict)):
            self.note(path, f"{describe(value)} cannot be a value here: {name} is left out")
            return None
        return Fixed(name, value, when)

    def make_choice(
        self, name: str, path: KeyPath, values: Iterable[Any], *, default: object = None, when: When = ()
    ) -> Parameter | None:
        """Return the parameter that takes one of `values`; None where one of them is a list or a mapping."""
        choices = tuple(values)
        compound = next((value for value in choices if isinstance(value, (list, dict))), None)
        if compound is not None:
            self.note(path, f"{describe(compound)} cannot be a choice here: {name} is left out")
            return None
        choices = self._remove_duplicates(name, path, choices)
        if len(choices) == 1:
            return Fixed(name, choices[0], when)
        return self._add_default(Categorical(name, choices, when=when), path, default)

    def make_range(
        self, name: str, path: KeyPath, values: Range, *, default: object = None, when: When = ()
    ) -> Parameter:
        """Return the parameter of a range; it is fixed where the range has one value."""
        low, high, log, step = values.low, values.high, values.log, values.step
        # With `log` the step is a factor, and so is the distance between the ends.
        # A step beyond the range leaves its lowest value alone, which `Int` and `Float` refuse as a range.
        reach = (high / low if log and low > 0 else high - low) if step is not None else math.inf
        if low == high or (step is not None and 0 < reach < step):
            return Fixed(name, low, when)
        parameter: Float | Int
        if values.whole:
            parameter = Int(
                name, _make_whole(low), _make_whole(high), log, None if step is None else _make_whole(step), when=when
            )
        else:
            parameter = Float(name, float(low), float(high), log, step, when=when)
        return self._add_default(parameter, path, default)

    def make_multiples(
        self, name: str, path: KeyPath, low: float, high: float, q: float, *, log: bool = False, when: When = ()
    ) -> Parameter:
        """Return the parameter that other tools round to multiples of `q`."""
        whole = isinstance(q, int)
        if q <= 0:
            raise self.make_error(path, f"expected a q above 0, got {q}")
        if log:
            if q != 1 or not whole:
                self.note(path, f"multiples of {q} on a logarithmic scale have no equivalent: {name} takes all values")
            if whole:
                low, high = math.ceil(low), math.floor(high)
            return self.make_range(name, path, Range(low, high, whole, log=True), when=when)
        # Through `str`, so that 0.3 is three steps of 0.1.
        step, exact_low, exact_high = (Fraction(str(number)) for number in (q, low, high))
        first, last = math.ceil(exact_low / step) * step, math.floor(exact_high / step) * step
        if first > last:
            raise self.make_error(path, f"there is no multiple of {q} from {low} to {high}")
        if (first, last) != (exact_low, exact_high):
            message = f"{name} goes from {float(first):g} to {float(last):g}, the multiples of {q} in its range"
            self.note(path, message)
        is_every_int = whole and q == 1
        ends = float(first), float(last)
        return self.make_range(name, path, Range(*ends, whole, step=None if is_every_int else q), when=when)

    def make_normal(
        self, name: str, path: KeyPath, mu: float, sigma: float, *, log: bool, q: float | None, when: When = ()
    ) -> Parameter:
        """Return a range in place of a normal distribution; with `log` it is the logarithm that is normal."""
        ends = [mu - _MIDDLE * sigma, mu + _MIDDLE * sigma]
        if log:
            ends = [self.compute_power(path, end) for end in ends]
        # Six digits: these ends are an approximation, and more digits would look exact.
        low, high = (float(f"{end:.6g}") for end in ends)
        self.note(
            path, f"a normal distribution has no equivalent: {name} is even over its middle 95 %, {low} to {high}"
        )
        if q is not None:
            return self.make_multiples(name, path, low, high, q, log=log, when=when)
        return self.make_range(name, path, Range(low, high, log=log), when=when)

    def compute_power(self, path: KeyPath, exponent: float) -> float:
        """Return e to the power of an exponent, without the noise in its last digits.

        Raises:
            InputError: if it is too large.
        """
        try:
            return float(f"{math.exp(exponent):.12g}")
        except OverflowError:
            raise self.make_error(path, f"e to the power of {exponent} is too large a number") from None

    def _remove_duplicates(self, name: str, path: KeyPath, choices: tuple[Value, ...]) -> tuple[Value, ...]:
        """Return choices without duplicates; for Optuna 1, 1.0 and true are one."""
        kept: dict[Value, Value] = {}
        for choice in choices:
            if choice in kept:
                both = f"{format_value(kept[choice])} and {format_value(choice)} are one choice to Optuna"
                self.note(path, f"{both}: {name} takes {format_value(kept[choice])}")
            kept.setdefault(choice, choice)
        return tuple(kept)

    def _add_default(self, parameter: Categorical | Float | Int, path: KeyPath, default: object) -> Parameter:
        if default is None:
            return parameter
        if not parameter.contains(default):
            self.note(path, f"the default {describe(default)} is none of its values: it is left out")
            return parameter
        value: Any = int(default) if isinstance(parameter, Int) and is_number(default) else default
        return replace(parameter, default=value)


def make_valid_name(written: str) -> str:
    """Return a name with every character replaced that parameter names cannot hold."""
    # Stripped again after the cut to 100 characters, which may leave a separator at the end.
    name = _ODD.sub("_", written).strip(" ./:-")[:100].strip(" ./:-")
    return f"{name or 'parameter'}_" if name in ("", *RESERVED) else name


def parse_number(text: str) -> int | float | None:
    """Return the number that a text stands for, None if it is not a number."""
    for read in (int, float):
        try:
            # Python also reads 1_000 as a number.
            return read(text) if "_" not in text and len(text) < 400 else None
        except ValueError:
            continue
    return None


def _make_whole(value: float) -> Any:
    return int(value) if value == int(value) else value


def _add_starting_point(space: Space, point: Mapping[str, Value]) -> Space:
    """Return the space with a starting point, if the fitting part of the point differs from the defaults."""
    fits = {name: value for name, value in point.items() if name in space.names}
    kept = {name: fits[name] for name in space.find_active(fits) if name in fits}
    if not all(space.parameters[name].contains(value) for name, value in kept.items()):
        return space
    searched = {name: value for name, value in kept.items() if not isinstance(space.parameters[name], Fixed)}
    is_new = any(space.make_defaults().get(name, UNSET) != value for name, value in searched.items())
    return replace(space, start_from=(searched,)) if is_new else space
