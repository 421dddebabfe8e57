"""Windows of series with dates, categories or the name of the series in them, ready to be written.

Windows of numbers alone are one array, which `pipelines.data.content` prepares as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import ONE_HOT_MOST, StringPlan, describe_cycles, list_cycles, make_string_plan
from pipelines.data.columns.input_names import make_input_names
from pipelines.data.fingerprint import update_digest
from pipelines.data.fitted.files import write_fitted
from pipelines.data.fitted.values import (
    DatePlan,
    FittedWindows,
    IdentityPlan,
    RawInput,
    WordPlan,
    calculate_moments,
)
from pipelines.data.fitted.write_features import write_features
from pipelines.data.prepared import PICTURES, Features, InputKind, RawColumn
from pipelines.data.raw import PARTS, Windows
from pipelines.data.splits.split import Split
from pipelines.data.targets.labels import Labels
from pipelines.data.window_facts import WindowFacts
from search_spaces.errors import InputError, Problem

_NUMBERS: Final = "series"


@dataclass(frozen=True)
class WindowContent:
    """Windows with their encoding.

    Attributes:
        numbers: float32 [row, time, channel] of numbers, Booleans and dates.
        windows: their facts.
        output: `series`, or `dense` for one row of features.
        has_identity: whether the name of the series is an input.
        training: per fold the numbers of its training rows.
        notes: choices made for the user.
    """

    numbers: Array
    windows: Windows
    output: Literal["series", "dense"]
    has_identity: bool
    training: tuple[Array, ...]
    notes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()

    @property
    def form(self) -> None:
        """None: a user model gets preprocessed features."""
        return

    @property
    def raw(self) -> tuple[RawColumn, ...]:
        """Inputs of the exported model."""
        steps, channels = self.numbers.shape[1:]
        names = self._name_inputs()
        numbers = (RawColumn(_NUMBERS, "array", (steps, channels), "float32"),) if channels else ()
        words = tuple(RawColumn(names[name], "string", (steps,), "string") for name in self.windows.words)
        identity = (RawColumn(names[""], "string", (), "string"),) if self.has_identity else ()
        return (*numbers, *words, *identity)

    @property
    def facts(self) -> WindowFacts:
        """Facts of the windows, with the names of the exported model's inputs."""
        names = self._name_inputs()
        return self.windows.facts.name_inputs(names, _NUMBERS, names.get("", ""))

    @property
    def features(self) -> Features:
        """Inputs of a family's model."""
        forms = self._fit(0).outputs
        codes = self._plan_identity().codes if "codes" in forms else 0
        series = forms["series"][0] if "series" in forms else None
        return Features(
            dense=forms["dense"][0][0] if "dense" in forms else 0,
            codes=((self.raw[-1].name, codes),) if codes else (),
            series=None if series is None else (series[0], series[1]),
            past=() if series is None else self._locate_past(),
        )

    @property
    def encodings(self) -> Mapping[str, str]:
        """Description of the encoding, by channel."""
        found: dict[str, str] = {}
        dates = {date.channel: date for date in self._plan_dates()}
        place = 0
        for channel in self.windows.facts.channels:
            if channel.is_words:
                found[channel.name] = f"string: one-hot of {self._count_codes()[channel.name] - 1} categories"
                continue
            found[channel.name] = (
                f"date: its place in the {describe_cycles(dates[place].cycles)}"
                if place in dates
                else f"{channel.kind}: standardised"
            )
            place += 1
        if self.has_identity and self.windows.facts.by is not None:
            plan = self._plan_identity()
            how = {"one_hot": "one-hot", "embedding": "embedding", "hash": "embedding of hashes"}[plan.encoding]
            found[self.windows.facts.by.name] = f"name of the series: {how} of {plan.codes - 1} names"
        return found

    def select_original_rows(self, numbers: Array) -> dict[str, Array]:
        """Return the raw inputs of some rows."""
        return dict(self._select_rows(numbers))

    def update_digest(self, digest: Any) -> None:
        """Add the values of all rows to a digest."""
        update_digest(digest, self.numbers)
        for name, values in self.windows.words.items():
            digest.update(name.encode())
            update_digest(digest, pd.DataFrame(values))
        if self.has_identity and self.windows.names is not None:
            update_digest(digest, pd.DataFrame({"by": self.windows.names}))

    def write_fold(self, folder: Path, labels: Labels, weights: Array | None, split: Split, fold: int) -> None:
        """Write the rows of every part of a fold; windows have no weights."""
        folder.mkdir()
        fitted = self._fit(fold)
        write_fitted(fitted, folder)
        for part in PARTS:
            rows = split.select_rows(part, fold)
            np.save(folder / f"{part}.y.npy", labels.y[rows])
            raw = self._select_rows(rows)
            write_features(folder, part, fitted, raw, len(rows))
            for name, values in raw.items() if part != "train" else ():
                # Text of a fixed width, which can be mapped into memory.
                np.save(folder / f"{part}.raw.{name}.npy", values.astype(str) if values.dtype == object else values)

    def _locate_past(self) -> tuple[int, ...]:
        """Return the channel of the past of each target; standardised channels come first."""
        plain = self._fit(0).plain
        return tuple(plain.index(place) for place in self.windows.facts.forecast_past)

    def _name_inputs(self) -> dict[str, str]:
        """Return the input's name for each channel of categories, and under "" for the series' name."""
        by = [self.windows.facts.by.name] if self.has_identity and self.windows.facts.by is not None else []
        names = make_input_names([_NUMBERS, *self.windows.words, *by])
        found = {name: names[name] for name in self.windows.words}
        return {**found, **({"": names[by[0]]} if by else {})}

    def _select_rows(self, rows: Array) -> Mapping[str, Array]:
        names = self._name_inputs()
        found: dict[str, Array] = {_NUMBERS: self.numbers[rows]} if self.numbers.shape[2] else {}
        found |= {names[name]: values[rows] for name, values in self.windows.words.items()}
        if self.has_identity and self.windows.names is not None:
            found[names[""]] = self.windows.names[rows]
        return found

    def _fit(self, fold: int) -> FittedWindows:
        training, names = self.training[fold], self._name_inputs()
        dates = self._plan_dates()
        is_date = {date.channel for date in dates}
        plain = tuple(place for place in range(self.numbers.shape[2]) if place not in is_date)
        counts = self._count_codes()
        words = tuple(
            WordPlan(names[name], counts[name], _list_commonest(values[training]) or ("",))
            for name, values in self.windows.words.items()
        )
        moments = calculate_moments(self.numbers[..., list(plain)], training) if plain else (np.zeros(0), np.zeros(0))
        inputs = tuple(RawInput(column.name, column.shape, column.dtype) for column in self.raw)
        return FittedWindows(inputs, self.output, plain, moments, dates, words, self._fit_identity(training))

    def _fit_identity(self, training: Array) -> IdentityPlan | None:
        if not self.has_identity or self.windows.names is None:
            return None
        plan = self._plan_identity()
        words = () if plan.encoding == "hash" else tuple(sorted(set(self.windows.names[training])))
        return IdentityPlan(self._name_inputs()[""], plan, words or ("",))

    def _plan_identity(self) -> StringPlan:
        assert self.windows.names is not None
        return make_string_plan(0, max(len(set(self.windows.names[rows])) for rows in self.training), None)

    def _plan_dates(self) -> tuple[DatePlan, ...]:
        numbers = [channel for channel in self.windows.facts.channels if not channel.is_words]
        found = []
        for place, channel in enumerate(numbers):
            if channel.kind == "date":
                days = self.numbers[..., place]
                known = days[np.isfinite(days)]
                has_times = bool((np.mod(known, 1) != 0).any())
                found.append(DatePlan(place, list_cycles(channel.form, has_times=has_times)))
        return tuple(found)

    def _count_codes(self) -> dict[str, int]:
        """Return per channel of categories its codes: the fold with most decides, as all share the model's shape."""
        return {
            name: 1 + max(1, *(min(ONE_HOT_MOST, len(set(values[rows].reshape(-1)) - {""})) for rows in self.training))
            for name, values in self.windows.words.items()
        }


def make_window_content(
    numbers: Array, windows: Windows, split: Split, output: Literal["series", "dense"], *, has_identity: bool
) -> WindowContent:
    """Return windows with their encoding."""
    training = tuple(split.select_rows("train", fold) for fold in range(split.folds))
    notes = tuple(_note_rare(windows, np.unique(np.concatenate(training))))
    if has_identity and windows.facts.by is not None:
        notes += (
            f'the name of the series, "{windows.facts.by.name}", is an input too; one that training did not have '
            "counts as unknown (data.series.by_input)",
        )
    return WindowContent(numbers, windows, output, has_identity, training, notes)


def check_window_model(windows: Windows, prefers: InputKind, *, is_unchanged: bool) -> None:
    """Compare windows with what a model takes.

    Args:
        windows: facts of the windows.
        prefers: form of features that the model takes.
        is_unchanged: whether a user model gets the windows as they are.

    Raises:
        InputError: if it takes pictures, or no categories.
    """
    if prefers in PICTURES:
        message = "the model takes images, and data.series makes windows; use model: series, mlp or mixed"
        raise InputError(Problem(message, "model"))
    if prefers == "any" and windows.facts.is_by_input:
        message = "a model of yours gets windows of numbers, without the name of their series; remove this key"
        raise InputError(Problem(message, "data.series.by_input"))
    if is_unchanged and (name := next(iter(windows.words), None)):
        message = (
            f'a model of yours gets windows of numbers, and column "{name}" holds categories; name it in data.drop, or '
            "set data.preprocess: dense, which makes columns of 0 and 1 of it"
        )
        raise InputError(Problem(message, "data.series"))


def has_more_than_numbers(windows: Windows) -> bool:
    """Return whether a window has channels of categories or dates."""
    return any(channel.kind in ("string", "date") for channel in windows.facts.channels)


def _note_rare(windows: Windows, training: Array) -> Sequence[str]:
    counts = {name: len(set(values[training].reshape(-1)) - {""}) for name, values in windows.words.items()}
    return [
        f'column "{name}" has {count} categories: the {ONE_HOT_MOST} commonest are kept, others count as unknown; name '
        "it in data.drop if it is an identifier"
        for name, count in counts.items()
        if count > ONE_HOT_MOST
    ]


def _list_commonest(values: Array) -> tuple[str, ...]:
    """Return the commonest categories in the order of the alphabet."""
    counts = pd.Series(values.reshape(-1)).value_counts()
    counts = counts[counts.index != ""]
    # Of equally common ones the first of the alphabet.
    ordered = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
    return tuple(sorted(str(word) for word, _ in ordered[:ONE_HOT_MOST]))
