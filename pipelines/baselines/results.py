"""Results of a study's baselines, and the file in the study's folder that holds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipelines.models.objectives import is_share
from pipelines.workspace.atomic_files import write_text
from search_spaces.values import Direction

BASELINES_FILE: Final = "baselines.json"
_FORMAT: Final = 1
_ROUNDING: Final = 1e-6  # Keras computes metrics in float32, baselines in float64


def is_better(sign: float, value: float, other: float) -> bool:
    """Return whether a score is better than another by more than rounding; times the sign, less is better.

    >>> is_better(-1.0, 0.9333333373, 28 / 30), is_better(1.0, 0.2, 0.25)
    (False, True)
    """
    return sign * (other - value) > _ROUNDING * max(abs(value), abs(other))


@dataclass(frozen=True)
class Baseline:
    """A simple model's score by the study's objective.

    Attributes:
        name: short name, for MLflow's metrics.
        label: what predicts, in words.
        value: the objective on the validation rows; the mean over the folds where there are any.
        test: the same metric on the test rows; None where there are none.
        notes: how it differs from what the trials see.
    """

    name: str
    label: str
    value: float
    test: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Baselines:
    """The baselines of a study.

    Attributes:
        digest: of the data that they were scored on.
        found: the baselines; the trivial one first.
        skipped: why a baseline is missing; empty where none is.
    """

    metric: str
    direction: Direction
    digest: str
    found: tuple[Baseline, ...] = ()
    skipped: str = ""

    def describe(self) -> str:
        """Return the scores in one line.

        >>> Baselines("val_loss", "minimize", "", (Baseline("mean", "predicting the mean", 0.25, 0.5),)).describe()
        'predicting the mean has val_loss 0.25 (test 0.5)'
        """
        scores = ", ".join(
            f"{each.label} has {f'{self.metric} ' if place == 0 else ''}{each.value:.5g}{_describe_rest(each)}"
            for place, each in enumerate(self.found)
        )
        return "; ".join(part for part in (scores, self.skipped) if part)

    def explain_unbeaten(self, value: float | None) -> str:
        """Return the baselines that a score does not beat, in words; empty where it beats all.

        >>> one = Baselines("val_loss", "minimize", "", (Baseline("mean", "predicting the mean", 0.25),))
        >>> one.explain_unbeaten(0.3)
        'no better than predicting the mean: val_loss 0.3 against 0.25'
        >>> one.explain_unbeaten(0.2)
        ''
        """
        sign = 1.0 if self.direction == "minimize" else -1.0
        if value is not None and self.found and is_share(self.metric) and not is_share(self.metric, [value]):
            return f"not comparable with the baselines: {self.metric} {value:.5g}, and theirs is a share of at most 1"
        if value is None or not (unbeaten := [each for each in self.found if not is_better(sign, value, each.value)]):
            return ""
        best = min(unbeaten, key=lambda each: sign * each.value)
        return f"no better than {best.label}: {self.metric} {value:.5g} against {best.value:.5g}"

    def list_metrics(self) -> dict[str, float]:
        """Return the scores by their names in MLflow."""
        metric = self.metric.removeprefix("val_")
        values = {f"baseline_{each.name}_{self.metric}": each.value for each in self.found}
        tests = {f"baseline_{each.name}_test_{metric}": each.test for each in self.found if each.test is not None}
        return {**values, **tests}


def _describe_rest(baseline: Baseline) -> str:
    facts = [*([] if baseline.test is None else [f"test {baseline.test:.5g}"]), *baseline.notes]
    return f" ({', '.join(facts)})" if facts else ""


def write_baselines(folder: Path, baselines: Baselines) -> None:
    """Write the baselines of a study into its folder."""
    text = json.dumps({"format": _FORMAT, **asdict(baselines)}, indent=2, ensure_ascii=False)
    write_text(folder / BASELINES_FILE, text + "\n")


def read_baselines(folder: Path) -> Baselines | None:
    """Return the baselines in a study's folder; None where they were not computed, or the file cannot be read."""
    try:
        read = json.loads((folder / BASELINES_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if read.pop("format", None) != _FORMAT:
        return None
    found = tuple(Baseline(**{**each, "notes": tuple(each["notes"])}) for each in read.pop("found"))
    return Baselines(**read, found=found)
