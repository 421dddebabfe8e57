"""Page of a study's report: every table and sentence as plain text and numbers, which the template only places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from search_spaces.values import Value
from tracking.reports.analysis.advice import Advice, list_advice
from tracking.reports.analysis.certainty import Certainty, assess_certainty
from tracking.reports.analysis.cost import format_seconds, list_costs
from tracking.reports.analysis.failures import group_failures
from tracking.reports.analysis.importances import MOST, Importance
from tracking.reports.analysis.regions import find_regions
from tracking.reports.content import STATES, ForecastEvaluation, ReportParameter, StudyReport
from tracking.reports.figures.evaluation import is_of_evaluation
from tracking.reports.figures.figure import Figure
from tracking.reports.figures.forecast import find_forecast
from tracking.reports.figures.scale import format_number, shorten
from tracking.timings.summary import summarize

MOST_ROWS = 200
_MOST_NUMBERS = 12
_LEAST_S = 0.005

Row = Sequence[Value]


@dataclass(frozen=True)
class StudyPage:
    """Texts and tables of a report, by the place that they have on the page."""

    result: str
    status: str
    cards: Sequence[tuple[str, str, str]]
    certainty: Certainty | None
    winner_values: Sequence[Row]
    comparison: Sequence[Row]
    test_rows: Sequence[Row]
    finalists: Sequence[Row]
    objective_names: Sequence[str]
    pareto: Sequence[Row]
    advice: Sequence[Advice]
    no_advice: str
    importances: Sequence[Row]
    importance_note: str
    facts: Sequence[Row]
    failures: Sequence[Row]
    attempts: Sequence[Row]
    costs: Sequence[Row]
    time_spent: Sequence[Row]
    constants: str
    titles: Sequence[str]
    rows: Sequence[tuple[int, bool, Row, str]]
    omitted: int
    contents: Sequence[tuple[str, str]]
    has_progress: bool
    has_parameters: bool
    predictions: Sequence[str]
    origins: Sequence[Row] = ()
    origin_part: str = ""
    naive: str = ""
    version: str = ""
    written: str = field(default="")


def make_page(
    report: StudyReport,
    figures: Mapping[str, Figure],
    importances: Sequence[Importance],
    *,
    version: str = "",
    written: str = "",
) -> StudyPage:
    """Return the page of a report."""
    regions = {name: region.describe() for name, region in find_regions(report).items()}
    certainty = assess_certainty(report)
    varied = [parameter.name for parameter in report.varied]
    names = varied if report.complete else [parameter.name for parameter in report.parameters if not parameter.is_fixed]
    rows = list(_list_trials(report, names))
    predictions = [name for name in figures if is_of_evaluation(name)]
    has_progress = any(name in figures for name in ("optimization-history", "learning-curves", "pareto-front"))
    forecast = find_forecast(report.evaluation)
    return StudyPage(
        result=_describe_result(report),
        status=_describe_status(report),
        cards=list(_list_cards(report, certainty)),
        certainty=certainty,
        winner_values=list(_list_winner_values(report, regions)),
        comparison=list(_compare_with_baselines(report)),
        test_rows=list(_list_test(report)),
        finalists=[
            (each.number, each.mean, *(each.interval or (None, None)), ", ".join(map(format_number, each.scores)))
            for each in report.finalists
        ],
        objective_names=[f"{name} ({direction})" for name, direction in report.objectives],
        pareto=[(number, *report.by_number[number].values) for number in report.pareto if number in report.by_number],
        advice=list_advice(report, importances),
        no_advice=_explain_no_advice(report),
        importances=list(_list_importances(report, importances, regions)),
        importance_note=_describe_importances(report),
        facts=list(_list_facts(report)),
        failures=[
            (group.reason, len(group.numbers), _list_numbers(group.numbers)) for group in group_failures(report.trials)
        ],
        attempts=[(number, reason) for number, reason in report.failed_attempts[:MOST_ROWS]],
        costs=list_costs(report),
        time_spent=list(_list_time_spent(report)),
        constants=_describe_constants(report),
        titles=["trial", report.metric, *(name for name, _ in report.objectives[1:]), "state", "best epoch", "epochs",
                "seconds", *names, "reason"],
        rows=rows,
        omitted=len(report.trials) - len(rows),
        contents=list(_list_contents(has_progress, bool(varied), bool(predictions))),
        has_progress=has_progress,
        has_parameters=bool(varied),
        predictions=predictions,
        origins=list(_list_origins(forecast[1])) if forecast else (),
        origin_part=forecast[0] if forecast else "",
        naive=forecast[1].naive if forecast else "",
        version=version,
        written=written,
    )  # fmt: skip


def _describe_result(report: StudyReport) -> str:
    winner = report.winning
    if winner is None or winner.score is None:
        return "No trial is complete" + (" yet" if report.state in ("running", "queued", "preparing", "paused") else "")
    word = "Winner" if report.state == "finished" else "Best so far"
    count = len(report.pareto)
    several = f"; {count} {'trial is' if count == 1 else 'trials are'} on the Pareto front" if report.objectives else ""
    return f"{word}: {report.metric} {format_number(winner.score)}, trial {winner.number}{several}"


def _describe_status(report: StudyReport) -> str:
    counts = [(state, sum(trial.state == state for trial in report.trials)) for state in STATES]
    shown = ", ".join(f"{count:,} {state}" for state, count in counts if count) or "no trials"
    budget = f" of {report.budget:,}" if report.budget else ""
    reason = f": {report.reason}" if report.reason else ""
    return f"The study is {report.state or 'new'}{reason}. {len(report.trials):,}{budget} trials: {shown}."


def _list_cards(report: StudyReport, certainty: Certainty | None) -> Iterator[tuple[str, str, str]]:
    winner = report.winning
    if winner is not None and winner.score is not None:
        aim = "less is better" if report.direction == "minimize" else "more is better"
        yield report.metric, format_number(winner.score), f"trial {winner.number}; {aim}"
    if certainty is not None and certainty.interval is not None:
        low, high = map(format_number, certainty.interval)
        yield "95 % interval", f"{low} to {high}", f"of {certainty.name}"
    metric = f"test_{report.metric.removeprefix('val_')}"
    if metric in report.test:
        yield "on test rows", format_number(report.test[metric]), f"{metric}; these rows chose nothing"
    if report.baselines and winner is not None and winner.score is not None:
        best = min(report.baselines, key=lambda each: report.sign * each.value)
        is_better = report.sign * winner.score < report.sign * best.value and not report.unbeaten
        yield "best simple model", format_number(best.value), f"{best.label}; {'beaten' if is_better else 'not beaten'}"
    if report.data.part_rows:
        total = sum(report.data.part_rows.values())
        yield "data", f"{total:,} rows", ", ".join(f"{count:,} {part}" for part, count in report.data.part_rows.items())
    if report.seconds:
        epochs = sum(trial.epochs or 0 for trial in report.trials)
        yield "took", format_seconds(report.seconds), f"{epochs:,} epochs" if epochs else ""


def _list_winner_values(report: StudyReport, regions: Mapping[str, str]) -> Iterator[Row]:
    winner = report.winning
    if winner is None:
        return
    declared = {parameter.name: parameter for parameter in report.parameters}
    for name, value in winner.params.items():
        searched = describe_range(declared[name]) if name in declared else ""
        yield name, value if value is not None else "none", regions.get(name, ""), searched


def describe_range(parameter: ReportParameter) -> str:
    """Return what was searched of a parameter, in words."""
    if parameter.low is not None and parameter.high is not None:
        log = ", logarithmic" if parameter.is_log else ""
        return f"{format_number(parameter.low)} to {format_number(parameter.high)}{log}"
    if parameter.is_fixed:
        return f"fixed at {shorten(parameter.choices[0], 20)}"
    return ", ".join(shorten(choice, 20) for choice in parameter.choices[:8]) + (
        ", ..." if len(parameter.choices) > 8 else ""
    )


def _compare_with_baselines(report: StudyReport) -> Iterator[Row]:
    winner = report.winning
    if not report.baselines or winner is None:
        return
    finalist = next((each.mean for each in report.finalists if each.number == winner.number), None)
    test = report.test.get(f"test_{report.metric.removeprefix('val_')}")
    label = f"winner, trial {winner.number}" + (", mean of its further trainings" if finalist is not None else "")
    yield label, winner.score if finalist is None else finalist, test
    for each in report.baselines:
        yield each.label, each.value, each.test


def _list_test(report: StudyReport) -> Iterator[Row]:
    for name, value in report.test.items():
        bare = name.removeprefix("test_")
        parts, metric = report.evaluation.find_measured(bare) if report.evaluation else ({}, bare)
        interval = parts["test"].intervals.get(metric) if "test" in parts else None
        yield name, value, f"{format_number(interval[0])} to {format_number(interval[1])}" if interval else ""


def _list_origins(forecast: ForecastEvaluation) -> Iterator[Row]:
    for each in forecast.origins:
        yield each.first, each.last, each.forecasts, each.error, each.naive
    if len(pairs := forecast.compared) > 1:
        means = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
        yield "mean", "", sum(each.forecasts for each in forecast.origins), *means


def _list_importances(
    report: StudyReport, importances: Sequence[Importance], regions: Mapping[str, str]
) -> Iterator[Row]:
    declared = {parameter.name: parameter for parameter in report.parameters}
    winner = report.winning
    for each in importances:
        value = winner.params.get(each.name, "not active") if winner else None
        searched = describe_range(declared[each.name]) if each.name in declared else ""
        shares = (round(share, 3) for share in (each.share, each.low, each.high))
        yield each.name, *shares, regions.get(each.name, ""), searched, value


def _describe_importances(report: StudyReport) -> str:
    count = len(report.complete)
    sample = (
        f"a random sample of {MOST:,} of the {count:,} complete trials" if count > MOST else f"{count} complete trials"
    )
    return (
        f"Importance by PED-ANOVA over {sample}; the interval holds nine of ten samples drawn with replacement. "
        "Best region: the values of the best tenth of the trials, without the outermost tenths."
    )


def _list_facts(report: StudyReport) -> Iterator[Row]:
    for name, value in (("model", report.model), ("data", report.source), ("task", report.task)):
        if value:
            yield name, value
    for name, direction in report.objectives or ((report.metric, report.direction),):
        yield "objective", f"{direction} {name}"
    yield from report.facts.items()


def _list_numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MOST_NUMBERS]))
    return shown if len(numbers) <= _MOST_NUMBERS else f"{shown} and {len(numbers) - _MOST_NUMBERS} more"


def _describe_constants(report: StudyReport) -> str:
    if not report.complete:
        return ""
    varied = {parameter.name for parameter in report.varied}
    constant = {
        name: value for trial in report.complete[:50] for name, value in trial.params.items() if name not in varied
    }
    return ", ".join(f"{name} {_format_value(value)}" for name, value in constant.items())


def _format_value(value: Value) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format_number(value)
    return shorten(value, 30)


def _list_trials(report: StudyReport, names: Sequence[str]) -> Iterator[tuple[int, bool, Row, str]]:
    further = len(report.objectives[1:])
    for trial in report.ranked[:MOST_ROWS]:
        goals = [*trial.values[1:], *[None] * further][:further]
        seconds = None if trial.seconds is None else round(trial.seconds, 1)
        params = [trial.params.get(name) for name in names]
        reason = trial.reason if trial.is_allowed else f"cannot win; {trial.reason}".rstrip("; ")
        values = [trial.score, *goals, trial.state, trial.best_epoch, trial.epochs, seconds, *params]
        yield trial.number, trial.number == report.winner, values, reason


def _explain_no_advice(report: StudyReport) -> str:
    if len(report.complete) < 20:
        return f"{len(report.complete)} complete trials are too few for most advice, which needs 20."
    return "Nothing stands out: no bound is pressed against, and the budget fits the search."


def _list_time_spent(report: StudyReport) -> Iterator[Row]:
    """Yield the activities of the last run that took long enough to be seen."""
    if not report.runs:
        return
    run = report.runs[-1]
    whole_s = run.end - run.start
    for row in summarize(run):
        for each in row.activities:
            if each.seconds >= _LEAST_S:
                ends = (None, None) if each.is_rest else (round(each.start, 2), round(each.end, 2))
                yield row.row, each.name, round(each.seconds, 2), round(100 * each.seconds / whole_s, 1), *ends


def _list_contents(has_progress: bool, has_parameters: bool, has_predictions: bool) -> Iterator[tuple[str, str]]:
    yield "found", "What was found"
    yield "next", "What to try next"
    if has_progress:
        yield "progress", "Progress"
    if has_parameters:
        yield "mattered", "What mattered"
    if has_predictions:
        yield "predictions", "Predictions"
    yield "searched", "What was searched"
    yield "failed", "What failed"
    yield "cost", "What it cost"
    yield "leaderboard", "Trials"
