"""Facts of the windows of a table of series, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from tracking.mlflow.cell_values import PLAIN, CellForm

_SEASONS = (  # least and largest step in days, rows of a season, its name
    (1 / 25, 1 / 23, 24, "day"),
    (0.9, 1.1, 7, "week"),
    (27.0, 32.0, 12, "year"),
    (88.0, 93.0, 4, "year"),
)


@dataclass(frozen=True)
class WindowChannel:
    """A column as windows hold it.

    Attributes:
        name: the channel's name: the column's, with the rows that it is ahead.
        column: the column's name in the source.
        kind: numeric, boolean, date, or string for a category.
        form: form of its cells, where the source is text.
        ahead: rows that it is ahead of the window.
        input: the exported model's input that holds it.
    """

    name: str
    column: str
    kind: str
    form: CellForm = PLAIN
    ahead: int = 0
    input: str = ""

    @property
    def is_words(self) -> bool:
        """Whether its values are categories."""
        return self.kind == "string"


@dataclass(frozen=True)
class WindowFacts:
    """Facts of windows.

    Attributes:
        channels: the channels, in their order; numbers and dates are one array in this order, categories stand apart.
        time: the column of the time.
        by: the column that distinguishes series; None where there is one series.
        length: rows of a window.
        horizon: rows ahead that are predicted; 0 for the target at a window's last row.
        targets: names of the targets' columns.
        past: per target the place of its past in the array of numbers; None where it has none there.
        step: usual distance of two rows in time, in days or in the time column's own unit.
        is_even: whether nearly all distances are the usual one.
        is_by_input: whether a model gets the name of the series.
    """

    channels: tuple[WindowChannel, ...]
    time: WindowChannel
    by: WindowChannel | None
    length: int
    horizon: int
    targets: tuple[str, ...]
    past: tuple[int | None, ...]
    step: float
    is_even: bool
    is_by_input: bool = False

    @property
    def season(self) -> tuple[int, str] | None:
        """Rows of a season and its name, guessed from the step; None where a window does not hold one, or steps differ.

        A day of hours, a week of days, a year of months or quarters (Hyndman and Athanasopoulos, Forecasting:
        Principles and Practice, section 5.2).
        """
        # Where rows are missing, or weekends, so many rows are no season.
        if self.time.kind != "date" or not self.is_even:
            return None
        found = (
            (rows, name) for least, most, rows, name in _SEASONS if least <= self.step <= most and rows <= self.length
        )
        return next(found, None)

    @property
    def forecast_past(self) -> tuple[int, ...]:
        """Per target the place of its past in the array of numbers; empty where not all have one, or none is ahead."""
        places = tuple(place for place in self.past if place is not None)
        return places if self.horizon and len(places) == len(self.past) else ()

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Self:
        """Return the facts of `dataclasses.asdict`'s result after JSON."""
        return cls(
            **{
                **read,
                "channels": tuple(map(_read_channel, read["channels"])),
                "time": _read_channel(read["time"]),
                "by": None if read["by"] is None else _read_channel(read["by"]),
                "targets": tuple(read["targets"]),
                "past": tuple(read["past"]),
            }
        )

    def name_inputs(self, names: Mapping[str, str], numbers: str, by: str) -> Self:
        """Return the facts with the exported model's inputs: of each channel of categories, of numbers, of the name."""
        return replace(
            self,
            channels=tuple(replace(each, input=names.get(each.name, numbers)) for each in self.channels),
            by=None if self.by is None else replace(self.by, input=by),
        )


def _read_channel(read: Mapping[str, Any]) -> WindowChannel:
    return WindowChannel(**{**read, "form": CellForm.from_json(read["form"])})
