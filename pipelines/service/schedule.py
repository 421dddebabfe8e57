"""Which study begins next: by priority, then fairly between those who submitted them, then by age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NEVER = 0


@dataclass(frozen=True)
class Waiting:
    """A study that waits for a supervisor.

    Attributes:
        trials_at_once: how many trials it can train at once; None where it says no number itself.
    """

    study: str
    submitter: str
    priority: int
    submitted_ms: int
    trials_at_once: int | None


@dataclass(frozen=True)
class Running:
    """A study that is worked on, and how many trials it may train at once; None for any number."""

    study: str
    submitter: str
    trials_at_once: int | None


@dataclass(frozen=True)
class Next:
    """The study that begins, and how many trials it may train at once; None for any number."""

    study: str
    trials_at_once: int | None


def next_study(
    waiting: Sequence[Waiting],
    running: Sequence[Running],
    quotas: Mapping[str, int],
    last_started_ms: Mapping[str, int],
) -> Next | None:
    """Return the study that begins next; None where none may.

    A higher priority goes first. Of one priority, a submitter with fewer running studies does, then the one whose last
    study began longest ago, then the study that has waited longest. A study whose submitter may train no further
    trial now is passed over; one that wants more than is left of the quota gets what is left.

    Args:
        waiting: the studies that wait.
        running: the studies that are worked on.
        quotas: how many trials of a submitter may train at once; a submitter that is not in it has no limit.
        last_started_ms: when a submitter's latest study was begun.
    """
    studies = Counter(each.submitter for each in running)
    left = {submitter: _left(quota, submitter, running) for submitter, quota in quotas.items()}
    ready = [each for each in waiting if left.get(each.submitter, 1) > 0]
    if not ready:
        return None
    chosen = min(
        ready,
        key=lambda each: (
            -each.priority,
            studies[each.submitter],
            last_started_ms.get(each.submitter, NEVER),
            each.submitted_ms,
            each.study,
        ),
    )
    if chosen.submitter not in left:
        return Next(chosen.study, None)
    most = left[chosen.submitter]
    return Next(chosen.study, most if chosen.trials_at_once is None else min(most, chosen.trials_at_once))


def order(
    waiting: Sequence[Waiting],
    running: Sequence[Running],
    last_started_ms: Mapping[str, int],
) -> tuple[str, ...]:
    """Return the waiting studies in the order in which they would begin, quotas left out, if each ended at once."""
    rest, started = list(waiting), dict(last_started_ms)
    ordered = []
    now = max(started.values(), default=NEVER)
    while rest and (chosen := next_study(rest, running, {}, started)) is not None:
        ordered.append(chosen.study)
        found = next(each for each in rest if each.study == chosen.study)
        rest.remove(found)
        now += 1
        started[found.submitter] = now
    return tuple(ordered)


def _left(quota: int, submitter: str, running: Sequence[Running]) -> int:
    own = [each.trials_at_once for each in running if each.submitter == submitter]
    return 0 if None in own else quota - sum(trials for trials in own if trials is not None)
