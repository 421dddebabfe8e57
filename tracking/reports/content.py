"""Content of a study's report as plain values: what `study_report` writes and `figures` draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from search_spaces.values import Direction, Value
from tracking.timings.spans import StudyRun

Curve = Sequence[Mapping[str, float]]
TrialStatus = Literal["complete", "pruned", "failed", "cancelled", "running", "paused"]
STATES: Final[tuple[TrialStatus, ...]] = ("complete", "pruned", "paused", "running", "failed", "cancelled")


@dataclass(frozen=True)
class ReportTrial:
    """One trial.

    Attributes:
        values: its objectives, the score first; empty without a score.
        params: active hyperparameters only.
        best_epoch: counted from 1.
        epochs: epochs that it has trained; None where that is not known.
        started: time of its start, in seconds since 1970; `ended` likewise.
        trainer: how it was trained: `fit`, `graph`, `fleet` or `user`.
        is_allowed: False where it breaks a bound, or the space could no longer have drawn it.
        parameters: trainable weights of its model.
        resources: further measured costs by name, such as `cpu_s` or `peak_mb`.
    """

    number: int
    state: TrialStatus
    values: tuple[float, ...] = ()
    params: Mapping[str, Value] = field(default_factory=dict)
    best_epoch: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    started: float | None = None
    ended: float | None = None
    reason: str = ""
    trainer: str = ""
    is_allowed: bool = True
    parameters: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """The first objective, if it is a finite number."""
        value = self.values[0] if self.values else None
        return value if value is not None and math.isfinite(value) else None

    @property
    def is_complete(self) -> bool:
        """Whether it is complete and has a score."""
        return self.state == "complete" and self.score is not None


@dataclass(frozen=True)
class ReportParameter:
    """One hyperparameter of the space.

    Attributes:
        low: smallest value of a number; `high` is the largest.
        choices: values of a choice; empty for a number.
        is_conditional: whether only some trials have it.
    """

    name: str
    low: float | None = None
    high: float | None = None
    is_log: bool = False
    is_whole: bool = False
    choices: tuple[Value, ...] = ()
    is_conditional: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether it has one value only."""
        return len(self.choices) == 1

    def locate(self, value: Value) -> float | None:
        """Return the place of a number in its range, 0 to 1, on the scale that is searched; None for other values."""
        if self.low is None or self.high is None or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        low, high, at = self.low, self.high, float(value)
        if self.is_log and low > 0 and at > 0:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return None if high <= low else (at - low) / (high - low)


@dataclass(frozen=True)
class DataSection:
    """What a report shows of the study's data.

    Attributes:
        notes: what was decided for the user and what looks wrong.
        lines: further lines, such as the shares of classes.
        titles: heads of the table of columns.
        rows: that table's lines.
        class_counts: training rows of each class by its name; empty for other targets.
        has_rare_class: whether accuracy means little, since a class is rare.
        part_rows: rows of each part.
    """

    notes: Sequence[str] = ()
    lines: Sequence[str] = ()
    titles: Sequence[str] = ()
    rows: Sequence[Sequence[Value]] = ()
    class_counts: Mapping[str, int] = field(default_factory=dict)
    has_rare_class: bool = False
    part_rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportFinalist:
    """A trial that was trained again: its mean, the 95 % interval of the mean, each score."""

    number: int
    mean: float
    interval: tuple[float, float] | None
    scores: Sequence[float]


@dataclass(frozen=True)
class ReportBaseline:
    """A simple model's score by the objective, on validation and on test rows."""

    label: str
    value: float
    test: float | None = None


@dataclass(frozen=True)
class OriginScore:
    """Forecasts that begin at one time.

    Attributes:
        first: time of their first step; `last` is that of their last one.
        forecasts: number of the series.
        error: mean absolute error of the winner.
        naive: that of the naive forecast; None where it has none.
    """

    first: str
    last: str
    forecasts: int
    error: float
    naive: float | None


@dataclass(frozen=True)
class ForecastSeries:
    """One series: actual values, and a forecast for each origin, as pairs of time and value."""

    name: str
    actual: Sequence[tuple[float, float]]
    forecasts: Sequence[Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class ForecastEvaluation:
    """Forecasts of the winner from several times, beside a naive forecast from the same.

    Attributes:
        target: the first target, which is drawn.
        naive: the naive forecast in words.
        is_date: whether times are days since 1970-01-01.
        origins: the times, in order; their forecasts do not overlap.
        steps: steps ahead, with the mean absolute error of the winner and of the naive forecast over all rows.
    """

    target: str
    naive: str
    is_date: bool
    origins: Sequence[OriginScore]
    steps: Sequence[tuple[int, float, float | None]] = ()
    series: Sequence[ForecastSeries] = ()

    @property
    def compared(self) -> Sequence[tuple[float, float]]:
        """Errors of the winner and of the naive forecast at each origin that has both."""
        return [(each.error, each.naive) for each in self.origins if each.naive is not None]

    def describe(self) -> str:
        """Return the errors over the origins in one sentence.

        >>> scores = OriginScore("1", "7", 2, 3.0, 4.0), OriginScore("8", "14", 2, 5.0, 4.5)
        >>> ForecastEvaluation("y", "the value of a week before as forecast", True, scores).describe()
        'mean absolute error 4 over 2 origins (3 to 5), the value of a week before as forecast 4.25; smaller at 1 of 2'
        >>> ForecastEvaluation("y", "the last value as forecast", True, scores[1:]).describe()
        'mean absolute error 5 over one origin, no better than the last value as forecast 4.5; smaller at 0 of 1'
        """
        if not (pairs := self.compared):
            return ""
        errors, naive = [error for error, _ in pairs], [other for _, other in pairs]
        better = sum(error < other for error, other in pairs)
        spread = f" ({min(errors):.5g} to {max(errors):.5g})" if len(errors) > 1 else ""
        count = f"{len(pairs)} origins" if len(pairs) > 1 else "one origin"
        found = f"mean absolute error {sum(errors) / len(errors):.5g} over {count}{spread}"
        beside = f"{self.naive} {sum(naive) / len(naive):.5g}"
        word = "" if sum(errors) < sum(naive) else "no better than "
        return f"{found}, {word}{beside}; smaller at {better} of {len(pairs)}"


@dataclass(frozen=True)
class PartEvaluation:
    """Predictions of the winner for one part of the data, summed up.

    Attributes:
        rows: number of rows that it was evaluated on.
        confusion: rows of each true class (outer) and predicted class (inner).
        roc: per class its false and true positive rates, in order; the positive class alone where there are two.
        auc: area below that curve, per class.
        calibration: per bin of predicted confidence: its mean, the share that was right, its rows.
        residuals: predicted and true value of some rows, per output.
        metrics: what was measured, by name.
        intervals: 95 % intervals by metric, of shares of rows by Wilson's formula, of others by a bootstrap.
        method: what the bootstrap draws from.
        forecast: forecasts from several times; None where the rows are no windows of series.
    """

    rows: int
    confusion: Sequence[Sequence[int]] = ()
    roc: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    auc: Mapping[str, float] = field(default_factory=dict)
    calibration: Sequence[tuple[float, float, int]] = ()
    residuals: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    method: str = "bootstrap over rows"
    forecast: ForecastEvaluation | None = None


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of the delivered model.

    Attributes:
        classes: names of the classes; empty for a regression.
        parts: what was found on `validation` and on `test` rows, those that there are; empty with several heads.
        heads: of several targets with a head each, the evaluation of each, by output.
        target: name of the target, of an evaluation among `heads`.
    """

    trial: int
    classes: Sequence[str] = ()
    parts: Mapping[str, PartEvaluation] = field(default_factory=dict)
    heads: Mapping[str, Evaluation] = field(default_factory=dict)
    target: str = ""

    def find_measured(self, metric: str) -> tuple[Mapping[str, PartEvaluation], str]:
        """Return the parts that hold a metric, and its name there: with several heads those of the head in its name.

        >>> Evaluation(1, heads={"sold": Evaluation(1)}).find_measured("sold_accuracy")[1]
        'accuracy'
        """
        for output, head in sorted(self.heads.items(), key=lambda each: -len(each[0])):
            if metric.startswith(f"{output}_"):
                return head.parts, metric.removeprefix(f"{output}_")
        return self.parts, metric


@dataclass(frozen=True)
class StudyReport:
    """Content of a report.

    Attributes:
        state: the study's state; `reason` is why it has it.
        trials: all trials, by number.
        objectives: names and directions of several objectives; empty for one.
        curves: metrics of each epoch, by number of the trial, of those trials that are drawn.
        winner: number of the trial whose model is delivered; the best so far while none is chosen.
        test: metrics of the delivered model on the test rows.
        pareto: numbers of the trials on the Pareto front of several objectives, best first.
        unbeaten: baselines that the winner does not beat, in words.
        most_epochs: most epochs that a trial may train; None where that is not known.
        space: the search space as text.
        facts: further named facts, in the order to show them.
        seconds: working time of the study.
        failed_attempts: attempts that cost a worker: number of the trial, and the reason.
        digest: of the data with its split; empty where it is not known.
        runs: what the time of each run was spent on.
    """

    study: str
    metric: str
    direction: Direction
    state: str = ""
    reason: str = ""
    trials: Sequence[ReportTrial] = ()
    parameters: Sequence[ReportParameter] = ()
    objectives: Sequence[tuple[str, Direction]] = ()
    curves: Mapping[int, Curve] = field(default_factory=dict)
    winner: int | None = None
    finalists: Sequence[ReportFinalist] = ()
    test: Mapping[str, float] = field(default_factory=dict)
    pareto: Sequence[int] = ()
    baselines: Sequence[ReportBaseline] = ()
    unbeaten: str = ""
    evaluation: Evaluation | None = None
    model: str = ""
    source: str = ""
    task: str = ""
    budget: int | None = None
    most_epochs: int | None = None
    data: DataSection = DataSection()
    space: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    failed_attempts: Sequence[tuple[int, str]] = ()
    digest: str = ""
    runs: Sequence[StudyRun] = ()

    @property
    def sign(self) -> float:
        """1 where less is better, -1 where more is: scores times it are best when least."""
        return 1.0 if self.direction == "minimize" else -1.0

    @cached_property
    def complete(self) -> Sequence[ReportTrial]:
        """Complete trials with a score, by number."""
        return [trial for trial in self.trials if trial.is_complete]

    @cached_property
    def ranked(self) -> Sequence[ReportTrial]:
        """Trials for the leaderboard: the winner, complete ones by score, others with a score, the rest by number."""

        def rank(trial: ReportTrial) -> tuple[bool, bool, bool, bool, float, int]:
            score = trial.score
            is_winner = trial.number == self.winner
            value = self.sign * score if score is not None else 0.0
            return (
                not is_winner, trial.state != "complete", not trial.is_allowed, score is None, value, trial.number
            )  # fmt: skip

        return sorted(self.trials, key=rank)

    @cached_property
    def by_number(self) -> Mapping[int, ReportTrial]:
        """Trials by their numbers."""
        return {trial.number: trial for trial in self.trials}

    @property
    def winning(self) -> ReportTrial | None:
        """The trial that won, or is the best so far."""
        return self.by_number.get(self.winner) if self.winner is not None else None

    @cached_property
    def varied(self) -> Sequence[ReportParameter]:
        """Parameters that had more than one value among the complete trials."""
        found = []
        for parameter in self.parameters:
            # As text, because true equals 1.
            values = {str(trial.params[parameter.name]) for trial in self.complete if parameter.name in trial.params}
            if len(values) > 1:
                found.append(parameter)
        return found
