"""Order of the waiting studies: by priority, then fairly between submitters, then by age."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NEVER = 0


@dataclass(frozen=True)
class WaitingStudy:
    """A study that waits for a supervisor.

    Attributes:
        trials_at_once: how many trials it can train at once; None where its file sets no number.
    """

    study: str
    submitter: str
    priority: int
    submitted_ms: int
    trials_at_once: int | None


@dataclass(frozen=True)
class RunningStudy:
    """A running study, and how many trials it may train at once; None for any number."""

    study: str
    submitter: str
    trials_at_once: int | None


@dataclass(frozen=True)
class NextStudy:
    """The study to start, and how many trials it may train at once; None for any number."""

    study: str
    trials_at_once: int | None


def choose_next_study(
    waiting: Sequence[WaitingStudy],
    running: Sequence[RunningStudy],
    quotas: Mapping[str, int],
    last_started_ms: Mapping[str, int],
) -> NextStudy | None:
    """Return the study to start next; None where none may start.

    A higher priority goes first. Within a priority, the submitter with fewer running studies goes first, then the one
    whose last study began longest ago, then the study that has waited longest. A study whose submitter may train no
    further trial now is passed over; one that can use more than the rest of the quota gets the rest.

    Args:
        waiting: the studies that wait.
        running: the studies that run.
        quotas: how many trials of a submitter may train at once; a submitter without an entry has no limit.
        last_started_ms: when a submitter's latest study was begun.
    """
    studies = Counter(each.submitter for each in running)
    # Passed over, not waited for: a submitter at the limit must not hold up the others.
    left = {submitter: _count_remaining_trials(quota, submitter, running) for submitter, quota in quotas.items()}
    ready = [each for each in waiting if left.get(each.submitter, 1) > 0]
    if not ready:
        return None
    chosen = min(ready, key=lambda each: _rank(each, studies, last_started_ms))
    if chosen.submitter not in left:
        return NextStudy(chosen.study, None)
    most = left[chosen.submitter]
    return NextStudy(chosen.study, most if chosen.trials_at_once is None else min(most, chosen.trials_at_once))


def order_waiting(
    waiting: Sequence[WaitingStudy],
    running: Sequence[RunningStudy],
    last_started_ms: Mapping[str, int],
) -> tuple[str, ...]:
    """Return the waiting studies in the order in which they would start, without quotas, if each ended at once."""
    studies = Counter(each.submitter for each in running)
    started = dict(last_started_ms)
    now = max(started.values(), default=NEVER)
    queues: dict[tuple[str, int], list[WaitingStudy]] = {}
    for each in sorted(waiting, key=lambda each: (each.submitted_ms, each.study), reverse=True):
        queues.setdefault((each.submitter, each.priority), []).append(each)
    # The first study of each submitter in each priority. Its rank is out of date once the submitter has had a turn.
    # A heap: sorting all waiting studies again after each turn would be quadratic.
    heads = [(_rank(queue[-1], studies, started), key) for key, queue in queues.items()]
    heapq.heapify(heads)
    ordered = []
    while heads:
        turn, key = heapq.heappop(heads)
        queue = queues[key]
        if turn != (current := _rank(queue[-1], studies, started)):
            heapq.heappush(heads, (current, key))
            continue
        chosen = queue.pop()
        ordered.append(chosen.study)
        now += 1
        started[chosen.submitter] = now
        if queue:
            heapq.heappush(heads, (_rank(queue[-1], studies, started), key))
    return tuple(ordered)


def _rank(
    each: WaitingStudy, studies: Mapping[str, int], last_started_ms: Mapping[str, int]
) -> tuple[int, int, int, int, str]:
    """Return the sort key of a waiting study: the least goes first."""
    last = last_started_ms.get(each.submitter, NEVER)
    return (-each.priority, studies.get(each.submitter, 0), last, each.submitted_ms, each.study)


def _count_remaining_trials(quota: int, submitter: str, running: Sequence[RunningStudy]) -> int:
    used = [each.trials_at_once for each in running if each.submitter == submitter]
    return 0 if None in used else quota - sum(trials for trials in used if trials is not None)
