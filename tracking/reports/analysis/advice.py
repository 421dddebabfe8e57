"""Advice on what to try next, by rules; each names the key of the study file that it is about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tracking.reports.analysis.failures import group_failures
from tracking.reports.analysis.importances import Importance
from tracking.reports.analysis.regions import select_best
from tracking.reports.content import Curve, ReportParameter, ReportTrial, StudyReport
from tracking.reports.figures.drawn import list_leaders
from tracking.reports.figures.scale import format_number

# Chosen, all of them: each is the least for which the rule was right on the made-up studies of its test.
_EDGE: Final = 0.1
_MOST_CHANCE: Final = 0.002
_FEWEST_TRIALS: Final = 20
_FEWEST_FOR_INFLUENCE: Final = 40
_NO_INFLUENCE: Final = 0.05
_PLATEAU: Final = 0.5
_SMALL_GAIN: Final = 0.02
_AT_END: Final = 0.7
_LOSS_GROWTH: Final = 0.15
_LEAST_RISE: Final = 0.02
"""Share of its fall since the first epoch that a loss must have risen: near 0, noise makes many times the least."""
_GAP: Final = 0.15
_MANY_FAILED: Final = 0.2
_FEW_FAILED: Final = 3


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Attributes:
        rule: name of the rule.
        title: what was seen.
        text: what to do about it, with the key of the study file.
    """

    rule: str
    title: str
    text: str


def list_advice(report: StudyReport, importances: Sequence[Importance]) -> list[Advice]:
    """Return all advice, what matters most first."""
    return [
        *_advise_on_baseline(report),
        *_advise_on_failures(report),
        *_advise_on_rare_class(report),
        *_advise_on_bounds(report),
        *_advise_on_epochs(report),
        *_advise_on_overfitting(report),
        *_advise_on_budget(report),
        *_advise_on_influence(report, importances),
        *_advise_on_rivals(report),
    ]


def _advise_on_baseline(report: StudyReport) -> Iterator[Advice]:
    if report.unbeaten:
        yield Advice(
            "baseline",
            f"The winner does not beat a simple model: it is {report.unbeaten}",
            "Check the data first: are the features related to the target, and is the split right (data.split)? "
            "Then train longer and search more trials, or, on few rows, a smaller and more regularised space. Until "
            "then the simple model is the better choice.",
        )
        return
    test = report.test.get(f"test_{report.metric.removeprefix('val_')}")
    tested = [each for each in report.baselines if each.test is not None]
    best = min(tested, key=lambda each: report.sign * (each.test or 0.0), default=None)
    if test is None or best is None or best.test is None or report.sign * test < report.sign * best.test:
        return
    rows = report.data.part_rows.get("test", 0)
    yield Advice(
        "baseline",
        f"On the test rows {best.label} is at least as good: {format_number(best.test)}, and the winner "
        f"{format_number(test)}",
        f"With {rows:,} test rows that may be chance. More of them (data.split.test) show which is better; without, "
        "the simple model is the safer choice.",
    )


def _advise_on_failures(report: StudyReport) -> Iterator[Advice]:
    ended = [trial for trial in report.trials if trial.state in ("complete", "pruned", "failed")]
    failed = [trial for trial in ended if trial.state == "failed"]
    if len(failed) < _FEW_FAILED or len(failed) < _MANY_FAILED * len(ended):
        return
    most = group_failures(report.trials)[0]
    yield Advice(
        "failures",
        f"{len(failed)} of {len(ended)} trials failed, most often with: {most.reason}",
        f"See kerastudy logs {report.study} {most.numbers[0]}. {_explain_failure(report, most.reason)}",
    )


def _explain_failure(report: StudyReport, reason: str) -> str:
    text = reason.lower()
    if "nan" in text or "inf" in text or "finite" in text:
        rate = next((each for each in report.parameters if each.name == "learning_rate"), None)
        # A value that is fixed has no bound.
        key = "space.learning_rate.high" if rate is not None and rate.high is not None else "space.learning_rate"
        return f"Losses that are not finite come from large learning rates: lower {key}."
    if "memory" in text:
        return "Lower the largest sizes of the space, or set limits.model_memory to refuse such models before training."
    if "time" in text:
        return "Raise limits.trial_time, or narrow what makes trials slow."
    return "Each failed trial used a trial of the budget."


def _advise_on_rare_class(report: StudyReport) -> Iterator[Advice]:
    counts = report.data.class_counts
    if not report.data.has_rare_class or not counts:
        return
    name, least = min(counts.items(), key=lambda each: each[1])
    share = least / max(1, sum(counts.values()))
    is_accuracy = report.metric.endswith("accuracy") and not report.metric.endswith("balanced_accuracy")
    advice = "training.class_weight: balanced gives it more weight."
    if is_accuracy:
        advice = "Accuracy hardly notices it: set objective.metric to val_auc or val_balanced_accuracy. " + advice
    yield Advice("rare-class", f'The class "{name}" is rare: {least:,} training rows, {share:.1%}', advice)


def _advise_on_bounds(report: StudyReport) -> Iterator[Advice]:
    best = select_best(report)
    if len(report.complete) < _FEWEST_TRIALS:
        return
    for parameter in report.varied:
        places = [parameter.locate(trial.params[parameter.name]) for trial in best if parameter.name in trial.params]
        known = [place for place in places if place is not None]
        if len(known) < len(places) or len(known) < 3:
            continue
        tried = [
            place for trial in report.complete if parameter.name in trial.params
            and (place := parameter.locate(trial.params[parameter.name])) is not None
        ]  # fmt: skip
        for end in ("low", "high"):
            if _presses(known, tried, is_high=end == "high"):
                yield _advise_on_bound(
                    parameter, end, sum(_is_at_edge(place, end == "high") for place in known), len(known)
                )


def _is_at_edge(place: float, is_high: bool) -> bool:
    return place >= 1 - _EDGE if is_high else place <= _EDGE


def _presses(best: Sequence[float], tried: Sequence[float], *, is_high: bool) -> bool:
    """Return whether the best trials are at an end of the range more often than all trials would be by chance."""
    there = sum(_is_at_edge(place, is_high) for place in best)
    if there * 2 < len(best):
        return False
    # A sampler goes where trials are good, so chance is the edge's share of the range and not of the trials. With few
    # values, such as 1 to 3, the edge is one of them and has a larger share.
    distinct = len(set(tried))
    expected = max(_EDGE, 1 / distinct if distinct <= 1 / _EDGE else 0.0)
    return _compute_tail(there, len(best), expected) < _MOST_CHANCE


def _compute_tail(hits: int, count: int, share: float) -> float:
    """Return the probability of at least so many hits, by the binomial distribution."""
    return sum(math.comb(count, each) * share**each * (1 - share) ** (count - each) for each in range(hits, count + 1))


def _advise_on_bound(parameter: ReportParameter, end: str, there: int, count: int) -> Advice:
    bound = parameter.low if end == "low" else parameter.high
    assert bound is not None
    key = f"space.{parameter.name}.{end}"
    near = f"{there} of the best {count} trials are near {format_number(bound)}"
    title = f"{parameter.name} presses against its {end} bound: {near}"
    if end == "low" and bound == 0:
        return Advice(
            "bounds",
            title,
            f"Its range ends there. Fix it with space.{parameter.name}: 0, and save the search for others.",
        )
    if parameter.is_log:
        further = bound * 10 if end == "high" else bound / 10
    else:
        width = (parameter.high or 0.0) - (parameter.low or 0.0)
        further = bound + 0.5 * width if end == "high" else bound - 0.5 * width
        # A range that holds no negative number seldom may.
        further = max(0.0, further) if (parameter.low or 0.0) >= 0 else further
    if parameter.is_whole:
        further = max(1.0, float(round(further))) if bound >= 1 else float(round(further))
    if further == bound:
        return Advice(
            "bounds", title, f"It cannot go further. Fix it with space.{parameter.name}: {format_number(bound)}."
        )
    return Advice(
        "bounds",
        title,
        f"Better values may lie beyond it: set {key} to {_write_value(further)}, where the model allows that.",
    )


def _advise_on_epochs(report: StudyReport) -> Iterator[Advice]:
    """Advise on trials whose best epoch is their last possible one."""
    if not report.most_epochs or report.most_epochs < 2:
        return
    best = [trial for trial in select_best(report) if trial.best_epoch is not None]
    if len(best) < 3:
        return
    at_end = sum(1 for trial in best if (trial.best_epoch or 0) >= 0.95 * _find_limit(report, trial))
    if at_end >= _AT_END * len(best):
        yield Advice(
            "epochs",
            f"{at_end} of the best {len(best)} trials were still improving at their last epoch",
            f"Raise space.epochs above {report.most_epochs}; early stopping ends those trials that do not need more.",
        )


def _find_limit(report: StudyReport, trial: ReportTrial) -> float:
    own = trial.params.get("epochs")
    return float(own) if isinstance(own, int | float) and not isinstance(own, bool) else float(report.most_epochs or 0)


def _advise_on_overfitting(report: StudyReport) -> Iterator[Advice]:
    winner = report.winning
    if winner is None or winner.number not in report.curves:
        return
    curve = report.curves[winner.number]
    reason = _find_gap(curve, report, winner) or _find_growth(curve, winner)
    if reason:
        yield Advice(
            "overfitting",
            f"The winner overfits: {reason}",
            "More data helps most. Otherwise search stronger dropout and l2, a smaller model, or augmentation.",
        )


def _find_growth(curve: Curve, winner: ReportTrial) -> str:
    """Return how far the validation loss grew after its best epoch, where it did."""
    losses = [metrics.get("val_loss", math.nan) for metrics in curve]
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < 5 or min(finite) <= 0:
        return ""
    least = min(finite)
    at = losses.index(least) + 1
    growth = finite[-1] / least - 1
    if at > 0.8 * len(losses) or growth < _LOSS_GROWTH or finite[-1] - least < _LEAST_RISE * (finite[0] - least):
        return ""
    return f"its val_loss was least after epoch {at}, and {growth:.0%} higher after the last"


def _find_gap(curve: Curve, report: StudyReport, winner: ReportTrial) -> str:
    """Return how much better the winner is on training rows at its best epoch, where that is much."""
    name = report.metric.removeprefix("val_")
    at = (winner.best_epoch or len(curve)) - 1
    if not 0 <= at < len(curve) or name == report.metric:
        return ""
    train, val = curve[at].get(name, math.nan), curve[at].get(report.metric, math.nan)
    if not (math.isfinite(train) and math.isfinite(val)) or report.sign * (val - train) <= 0:
        return ""
    # Of errors and losses a ratio; of shares, which end at 1, a difference.
    is_share = report.direction == "maximize" and 0 <= val <= 1 and 0 <= train <= 1
    gap = train - val if is_share else (val / train - 1) / 2 if train > 0 else 0.0
    if gap < _GAP:
        return ""
    return f"{name} is {format_number(train)} on training rows and {format_number(val)} on validation rows"


def _advise_on_budget(report: StudyReport) -> Iterator[Advice]:
    leaders, complete = list_leaders(report), report.complete
    if len(complete) < _FEWEST_TRIALS or not leaders:
        return
    numbers = sorted(trial.number for trial in complete)
    total, best = len(numbers), leaders[-1]
    needed = _find_plateau(report, leaders)
    used = sum(number <= needed.number for number in numbers)
    if used <= (1 - _PLATEAU) * total:
        yield Advice(
            "plateau",
            f"The search stood still: trial {needed.number} was already within {_SMALL_GAIN:.0%} of the whole gain, "
            f"and {total - used} complete trials followed it",
            f"A similar study needs fewer trials: set budget.trials near {_round_up(1.5 * used)}, or "
            f"budget.patience to {max(10, _round_up(used / 2))}, which stops a search that stands still.",
        )
    elif sum(number > best.number for number in numbers) <= 0.1 * total and len(leaders) > 2:
        yield Advice(
            "budget",
            f"The best trial is among the last: trial {best.number} of {report.trials[-1].number}",
            "More trials may find a better one: raise budget.trials and run the same file again; the study goes on.",
        )


def _find_plateau(report: StudyReport, leaders: Sequence[ReportTrial]) -> ReportTrial:
    """Return the first leader that is within a small share of the gain from the median trial to the best."""
    scores = sorted(trial.score or 0.0 for trial in report.complete)
    best, median = leaders[-1].score or 0.0, scores[len(scores) // 2]
    margin = _SMALL_GAIN * abs(best - median)
    return next(trial for trial in leaders if abs((trial.score or 0.0) - best) <= margin)


def _round_up(value: float) -> int:
    return 5 * math.ceil(value / 5)


def _advise_on_influence(report: StudyReport, importances: Sequence[Importance]) -> Iterator[Advice]:
    if len(report.complete) < _FEWEST_FOR_INFLUENCE or len(importances) < 2:
        return
    varied = {parameter.name for parameter in report.varied}
    idle = [each.name for each in importances if each.name in varied and each.high < _NO_INFLUENCE]
    winner = report.winning
    if not idle or winner is None:
        return
    values = ", ".join(f"{name}: {_write_value(winner.params[name])}" for name in idle if name in winner.params)
    yield Advice(
        "influence",
        f"Without much influence on {report.metric}: {', '.join(idle)}",
        f"Fix them in the space, for example as the winner has them ({values}); the search then has fewer dimensions."
        if values
        else "Fix them in the space; the search then has fewer dimensions.",
    )


def _write_value(value: object) -> str:
    """Return a value as a study file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _advise_on_rivals(report: StudyReport) -> Iterator[Advice]:
    """Advise where the second finalist's mean lies in the winner's interval."""
    if len(report.finalists) < 2 or report.finalists[0].interval is None:
        return
    first, second = report.finalists[:2]
    low, high = first.interval or (first.mean, first.mean)
    if low <= second.mean <= high:
        yield Advice(
            "rivals",
            f"Trials {first.number} and {second.number} cannot be distinguished: one lies in the interval of the other",
            "Take the smaller or the faster one. More rows for validation, or a larger selection.seeds, separate them.",
        )
