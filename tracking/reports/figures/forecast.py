"""Figures of the winner's forecasts: over time, and their errors by steps ahead."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tracking.reports.content import Evaluation, ForecastEvaluation, ForecastSeries
from tracking.reports.figures.figure import Axis, Dots, Figure, Line, Mark, Panel
from tracking.reports.figures.scale import Scale, format_number, shorten

_WIDE, _NARROW = (900, 260), (440, 280)
_MOST_TICKS = 6


def draw_forecasts(evaluation: Evaluation | None) -> Iterator[Figure]:
    """Yield the figures of the winner's forecasts, on test rows where there are any."""
    found = find_forecast(evaluation)
    if found is None:
        return
    part, forecast = found
    yield _draw_over_time(part, forecast)
    if len(forecast.steps) > 1:
        yield _draw_steps(part, forecast)


def find_forecast(evaluation: Evaluation | None) -> tuple[str, ForecastEvaluation] | None:
    """Return the forecasts on test rows, else on validation rows, with the part's name; None where there are none."""
    for name in ("test", "validation"):
        part = evaluation.parts.get(name) if evaluation else None
        if part is not None and part.forecast is not None:
            return name, part.forecast
    return None


def _draw_over_time(part: str, forecast: ForecastEvaluation) -> Figure:
    panels = [_draw_one(forecast, each) for each in forecast.series]
    return Figure(
        name="forecasts",
        title="Forecasts of the winner",
        summary=f"{shorten(forecast.target, 30)} on {part} rows and its forecasts from {len(forecast.origins)} times. "
        f"{_begin_sentence(forecast.describe())}".strip(),
        panels=panels,
        legend=[("line", "actual"), ("best", "forecast, from its first step")],
        note=f"The {len(panels)} series with most rows are drawn." if len(panels) > 1 else "",
    )


def _begin_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _draw_one(forecast: ForecastEvaluation, series: ForecastSeries) -> Panel:
    ends = [series.actual[0][0], series.actual[-1][0], *(at for each in series.forecasts for at, _ in each)]
    across = Scale.from_numbers((min(ends), max(ends)), room=0.02)
    values = [value for _, value in series.actual]
    up = Scale.from_numbers([*values, *(value for each in series.forecasts for _, value in each)])
    actual = [(across.place(at), up.place(value)) for at, value in series.actual]
    marks: list[Mark] = [Line("line", actual, 1.4)]
    for each in series.forecasts:
        points = [(across.place(at), up.place(value)) for at, value in each]
        marks.append(Dots("best", points[:1], size=6))
        if len(points) > 1:
            marks.append(Line("best", points, 2.2))
    axis = _make_time_axis(across) if forecast.is_date else across.make_axis("time")
    title = shorten(series.name, 40) if series.name else shorten(forecast.target, 40)
    return Panel(axis, up.make_axis(shorten(forecast.target, 24)), marks, title, size=_WIDE)


def _make_time_axis(scale: Scale) -> Axis:
    """Return an axis of dates, whose ticks are whole days, or hours where it is short."""
    days = scale.high - scale.low
    step = max(1.0, round(days / _MOST_TICKS)) if days > _MOST_TICKS else days / _MOST_TICKS
    first = scale.low if step < 1 else float(int(scale.low) + 1)
    ticks = [first + step * index for index in range(_MOST_TICKS + 2) if first + step * index <= scale.high]
    form = "%Y-%m-%d" if step >= 1 else "%m-%d %H:%M"
    origin = datetime(1970, 1, 1, tzinfo=UTC)
    return Axis("", [(scale.place(at), (origin + timedelta(days=at)).strftime(form)) for at in ticks])


def _draw_steps(part: str, forecast: ForecastEvaluation) -> Figure:
    steps = [step for step, _, _ in forecast.steps]
    across = Scale(float(steps[0]), float(steps[-1]), is_whole=True)
    naive = [(step, value) for step, _, value in forecast.steps if value is not None]
    up = Scale.from_numbers([0.0, *(error for _, error, _ in forecast.steps), *(value for _, value in naive)])
    lines: list[Mark] = [
        Line("line", [(across.place(step), up.place(value)) for step, value in naive], 2, is_dashed=True),
        Line("best", [(across.place(step), up.place(error)) for step, error, _ in forecast.steps], 2),
    ]
    first, last = forecast.steps[0], forecast.steps[-1]
    return Figure(
        name="forecast-steps",
        title="Error by steps ahead",
        summary=f"Mean absolute error of the winner over all {part} rows: {format_number(first[1])} one step ahead, "
        f"{format_number(last[1])} at step {last[0]}.",
        panels=[Panel(across.make_axis("steps ahead"), up.make_axis("mean absolute error"), lines, size=_NARROW)],
        legend=[("best", "winner"), ("line", forecast.naive)],
    )
