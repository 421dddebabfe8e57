"""Plots of studies as PNG files, drawn from plain values.

matplotlib's figures are used directly, never `pyplot`, whose global state is unsafe in threads. matplotlib is imported
when a study ends, not before one can start.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search_spaces.values import Direction, Value
from tracking.outbox.records import TrialState
from tracking.reports.lean_imports import hide_modules

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.distributions import BaseDistribution

Curve = Sequence[Mapping[str, float]]

# `optuna.visualization.matplotlib` cannot replace these plots: it draws through pyplot, and needs an Optuna study.
_DPI: Final = 100
_BLUE: Final = "#1f6feb"
_GREY: Final = "#9aa4b2"
# Three rows of three slices.
_LONGEST_LABEL: Final = 40  # characters
_MOST_PARAMETERS: Final = 9
_MOST_CURVES: Final = 10
# Chosen: with fewer trials each further one changes the shares.
_FEWEST_FOR_IMPORTANCE: Final = 8
# A parameter whose largest value is so many times its smallest gets a logarithmic axis.
_LOG_RATIO: Final = 100


@dataclass(frozen=True)
class PlottedTrial:
    """One trial as a row of a table; `params` holds active hyperparameters only."""

    number: int
    state: TrialState
    value: float | None
    params: Mapping[str, Value] = field(default_factory=dict)
    best_epoch: int | None = None
    duration_s: float | None = None
    reason: str = ""


def read_history(path: Path) -> Curve:
    """Return the metrics in a trial's `history.csv`: a line an epoch, a column for each metric by Keras's name."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return tuple({name: _parse_number(text) for name, text in row.items() if name and name != "epoch"} for row in rows)


def write_study_plots(
    rows: Sequence[PlottedTrial],
    folder: Path,
    *,
    metric: str,
    direction: Direction,
    curves: Mapping[int, Curve] | None = None,
) -> tuple[Path, ...]:
    """Draw the plots of a study and return their files, in the order to show them; leave out empty plots.

    Args:
        rows: the study's trials.
        folder: folder to write into.
        metric: the objective's name.
        direction: whether less or more is better.
        curves: metrics of each epoch, by number of the trial, for the learning curves of the best.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with_value = [row for row in rows if row.value is not None and math.isfinite(row.value)]
    with_value.sort(key=_get_score, reverse=direction == "maximize")
    if not with_value:
        return ()
    labels = _make_labels(name for row in rows for name in row.params)
    weights = {labels[name]: weight for name, weight in compute_importances(rows, direction=direction).items()}
    with_value = [replace(row, params={labels[name]: each for name, each in row.params.items()}) for row in with_value]
    names = _list_varied_parameters(with_value, weights)[:_MOST_PARAMETERS]
    best = {row.number: (curves or {})[row.number] for row in with_value if row.number in (curves or {})}
    drawings: list[tuple[str, bool, Callable[[Path], None]]] = [
        ("optimization-history.png", True, lambda path: _draw_progress(with_value, path, metric, direction)),
        ("parameter-importances.png", bool(weights), lambda path: _draw_importances(weights, path)),
        ("slices.png", bool(names), lambda path: _draw_slices(with_value, names, path, metric)),
        ("parallel-coordinates.png", len(names) > 1, lambda path: _draw_parallel(with_value, names, path, metric)),
        ("learning-curves.png", bool(best), lambda path: _draw_curves(best, path, metric)),
    ]
    written = []
    with _draw_any_text():
        for name, has_content, draw in drawings:
            if has_content:
                draw(folder / name)
                written.append(folder / name)
    return tuple(written)


def _make_labels(names: Iterable[str]) -> dict[str, str]:
    """Return a short label for each name; of two that are cut to the same, one gets a number."""
    labels: dict[str, str] = {}
    for name in dict.fromkeys(names):
        whole = " ".join(name.split())
        short = whole if len(whole) <= _LONGEST_LABEL else f"{whole[: _LONGEST_LABEL - 3]}..."
        labels[name] = short if short not in labels.values() else f"{short} ({len(labels)})"
    return labels


@contextmanager
def _draw_any_text() -> Iterator[None]:
    """Draw names as they are: matplotlib takes two dollar signs for a formula, and warns of letters that it lacks."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def load_libraries(*, lean: bool) -> None:
    """Import the libraries for plots and reports, for example in a thread while workers start.

    With `lean`, leave out scikit-learn, which takes a second. Optuna's other evaluators of importance then fail in this
    process as if it were not installed.
    """
    import jinja2  # noqa: F401
    import matplotlib.backends.backend_agg  # noqa: F401

    with hide_modules(*(["sklearn"] if lean else [])):
        import optuna.importance  # noqa: F401


def compute_importances(rows: Sequence[PlottedTrial], *, direction: Direction) -> dict[str, float]:
    """Return the importance of each parameter (PED-ANOVA), largest first; empty where it is unknown.

    Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces", 2023, as Optuna implements it.
    """
    with_value = [row for row in rows if row.state == "complete" and row.value is not None and math.isfinite(row.value)]
    if len(with_value) < _FEWEST_FOR_IMPORTANCE or len({row.value for row in with_value}) < 2:
        return {}
    import optuna

    distributions = _infer_distributions(with_value)
    if not distributions:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction=direction, storage=optuna.storages.InMemoryStorage())
        for row in with_value:
            params = {name: value for name, value in row.params.items() if name in distributions}
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions={name: distributions[name] for name in params}, value=row.value
                )
            )
        try:
            found = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError):
            # Too few trials share a parameter; the report then has no such plot.
            return {}
    return {name: float(weight) for name, weight in found.items() if math.isfinite(weight)}


def _draw_progress(with_value: Sequence[PlottedTrial], path: Path, metric: str, direction: Direction) -> None:
    better = max if direction == "maximize" else min
    ordered = sorted(with_value, key=lambda row: row.number)
    best: list[float] = []
    for row in ordered:
        best.append(better([*best[-1:], _get_score(row)]))
    figure = _make_figure((8, 4))
    axes = figure.add_subplot()
    numbers = [row.number for row in ordered]
    axes.plot(numbers, [_get_score(row) for row in ordered], "o", color=_GREY, label="trial", markersize=4)
    axes.step(numbers, best, where="post", color=_BLUE, label="best so far")
    _set_integer_ticks(axes)
    _label_axes(axes, title="Optimization history", x="trial", y=metric)
    axes.legend(frameon=False)
    _save(figure, path)


def _draw_importances(weights: Mapping[str, float], path: Path) -> None:
    shown = list(weights.items())[:15][::-1]
    figure = _make_figure((8, 1 + 0.35 * len(shown)))
    axes = figure.add_subplot()
    bars = axes.barh([name for name, _ in shown], [weight for _, weight in shown], color=_BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    _label_axes(axes, title="Parameter importances", x="share (PED-ANOVA)", y="")
    _save(figure, path)


def _draw_slices(with_value: Sequence[PlottedTrial], names: Sequence[str], path: Path, metric: str) -> None:
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    figure = _make_figure((4 * columns, 3 * lines))
    for index, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, index + 1)
        rows = [row for row in with_value if name in row.params]
        scale = _Scale.from_values([row.params[name] for row in rows])
        points = axes.scatter(
            [scale.locate(row.params[name]) for row in rows],
            [_get_score(row) for row in rows],
            c=[row.number for row in rows],
            cmap="Blues",
            edgecolors=_GREY,
            linewidths=0.4,
            s=18,
        )
        points.set_clim(-1, max(row.number for row in with_value) + 1)
        scale.set_ticks(axes)
        _label_axes(axes, title="", x=name, y=metric if index % columns == 0 else "")
    _save(figure, path)


def _draw_parallel(with_value: Sequence[PlottedTrial], names: Sequence[str], path: Path, metric: str) -> None:
    figure = _make_figure((max(8, 1.5 * (len(names) + 1)), 4.5))
    axes = figure.add_subplot()
    from matplotlib import colormaps

    colours = colormaps["viridis"]
    scales = [_Scale.from_values([row.params[name] for row in with_value if name in row.params]) for name in names]
    # The best trial last, so that its line lies on top.
    for rank, row in reversed(list(enumerate(with_value))):
        heights = [
            scale.scale_to_unit(row.params[name]) if name in row.params else math.nan
            for name, scale in zip(names, scales, strict=True)
        ]
        shade = 1 - rank / max(1, len(with_value) - 1)
        style: dict[str, Any] = {"color": colours(shade), "alpha": 0.2 + 0.7 * shade, "linewidth": 0.7 + 1.3 * shade}
        axes.plot(range(len(names)), heights, marker=".", **style)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    for at, scale in enumerate(scales):
        low, high = scale.ends
        axes.annotate(low, (at, -0.02), ha="center", va="top", fontsize=7)
        axes.annotate(high, (at, 1.02), ha="center", va="bottom", fontsize=7)
    axes.set_yticks([])
    axes.set_ylim(-0.12, 1.12)
    _label_axes(axes, title=f"Parameters, best trials by {metric} brightest", x="", y="")
    _save(figure, path)


def _draw_curves(curves: Mapping[int, Curve], path: Path, metric: str) -> None:
    figure = _make_figure((8, 4))
    axes = figure.add_subplot()
    for number, epochs in list(curves.items())[:_MOST_CURVES]:
        axes.plot(range(len(epochs)), _read_column(epochs, metric), label=f"trial {number}")
    _set_integer_ticks(axes)
    _label_axes(axes, title="Learning curves of the best trials", x="epoch", y=metric)
    axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


@dataclass(frozen=True)
class _Scale:
    """Axis of one parameter: numbers by their value, any other values as categories in a row."""

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False
    names: tuple[str, ...] = ()

    @classmethod
    def from_values(cls, values: Sequence[Value]) -> _Scale:
        numbers = [_to_float(value) for value in values if _is_number(value)]
        if len(numbers) == len(values) and numbers:
            low, high = min(numbers), max(numbers)
            whole = all(isinstance(value, int) for value in values)
            return cls(low, high, is_log=low > 0 and high / low >= _LOG_RATIO, is_whole=whole)
        names = tuple(dict.fromkeys(sorted(str(value) for value in values)))
        return cls(0, len(names) - 1, names=names)

    def locate(self, value: Value) -> float:
        return float(self.names.index(str(value))) if self.names else _to_float(value)

    def scale_to_unit(self, value: Value) -> float:
        """Return the place on the axis, from 0 to 1."""
        at, low, high = self.locate(value), self.low, self.high
        if self.is_log:
            at, low, high = math.log(at), math.log(low), math.log(high)
        return 0.5 if high == low else (at - low) / (high - low)

    @property
    def ends(self) -> tuple[str, str]:
        if self.names:
            return self.names[0], self.names[-1]
        return f"{self.low:.3g}", f"{self.high:.3g}"

    def set_ticks(self, axes: Axes) -> None:
        if self.names:
            axes.set_xticks(range(len(self.names)), self.names, rotation=30 if len(self.names) > 3 else 0)
            axes.set_xlim(-0.5, len(self.names) - 0.5)
        elif self.is_log:
            axes.set_xscale("log")
        elif self.is_whole:
            _set_integer_ticks(axes)


def _list_varied_parameters(with_value: Sequence[PlottedTrial], weights: Mapping[str, float]) -> list[str]:
    """Return the parameters with more than one value, the most important first."""
    # Values are compared as text, because true equals 1.
    names = dict.fromkeys([*weights, *(name for row in with_value for name in row.params)])
    return [name for name in names if len({str(row.params[name]) for row in with_value if name in row.params}) > 1]


def _infer_distributions(with_value: Sequence[PlottedTrial]) -> dict[str, BaseDistribution]:
    import optuna

    found: dict[str, BaseDistribution] = {}
    for name in _list_varied_parameters(with_value, {}):
        values = [row.params[name] for row in with_value if name in row.params]
        if all(_is_number(value) for value in values):
            low, high = min(map(_to_float, values)), max(map(_to_float, values))
            found[name] = optuna.distributions.FloatDistribution(low, high, log=low > 0 and high / low >= _LOG_RATIO)
        else:
            found[name] = optuna.distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    return found


def _read_column(epochs: Curve, metric: str) -> list[float]:
    return [metrics.get(metric, math.nan) for metrics in epochs]


def _make_figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=_DPI)


def _set_integer_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _label_axes(axes: Axes, *, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _save(figure: Figure, path: Path) -> None:
    figure.set_layout_engine("tight")
    figure.savefig(path, format="png")


def _get_score(row: PlottedTrial) -> float:
    return math.nan if row.value is None else row.value


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _to_float(value: Value) -> float:
    return float(value) if value is not None else math.nan


def _parse_number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
