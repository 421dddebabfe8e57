"""Which study begins next: rules that hold for any queue, and the order a person expects."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.service.supervisors.scheduler import (
    NextStudy,
    RunningStudy,
    WaitingStudy,
    choose_next_study,
    order_waiting,
)


def waits(study, submitter="ann", *, priority=0, since=0, at_once=None):
    return WaitingStudy(study, submitter, priority, since, at_once)


_names = st.sampled_from(["ann", "bob", "cyd"])
_waiting = st.lists(
    st.builds(
        WaitingStudy,
        st.uuids().map(str),
        _names,
        st.integers(-3, 3),
        st.integers(0, 50),
        st.none() | st.integers(1, 8),
    ),
    max_size=12,
)
_running = st.lists(st.builds(RunningStudy, st.uuids().map(str), _names, st.integers(1, 8)), max_size=5)
_quotas = st.dictionaries(_names, st.integers(1, 12))


def test_the_oldest_of_one_submitter_goes_first():
    """Among equals it is first come, first served."""
    assert order_waiting([waits("b", since=2), waits("a", since=3), waits("c", since=1)], [], {}) == ("c", "b", "a")


def test_a_higher_priority_goes_first():
    """However long another one has waited."""
    assert choose_next_study([waits("old"), waits("urgent", priority=1, since=9)], [], {}, {}).study == "urgent"


def test_submitters_take_turns():
    """Somebody who submits a hundred studies does not keep another one waiting behind them."""
    many = [waits(f"ann-{number}", since=number) for number in range(4)]
    assert order_waiting([*many, waits("bob-0", "bob", since=99)], [], {"ann": 5}) == (
        "bob-0",
        "ann-0",
        "ann-1",
        "ann-2",
        "ann-3",
    )
    assert (
        choose_next_study([*many, waits("bob-0", "bob", since=99)], [RunningStudy("x", "bob", 1)], {}, {}).study
        == "ann-0"
    )


def test_a_quota_is_what_may_train_at_once():
    """No study starts once it is used up; a study that can use more than the rest gets the rest."""
    assert choose_next_study([waits("a")], [RunningStudy("x", "ann", 4)], {"ann": 4}, {}) is None
    assert choose_next_study([waits("a")], [RunningStudy("x", "ann", 3)], {"ann": 4}, {}) == NextStudy("a", 1)
    assert choose_next_study([waits("a", at_once=2)], [], {"ann": 4}, {}) == NextStudy("a", 2)
    assert choose_next_study([waits("a")], [RunningStudy("x", "ann", None)], {"ann": 4}, {}) is None
    assert choose_next_study([waits("a")], [RunningStudy("x", "bob", 9)], {"bob": 4}, {}) == NextStudy("a", None)


@given(_waiting, _running, _quotas)
def test_whoever_may_begin_does(waiting, running, quotas):
    """None is chosen only where every waiting submitter has used up a quota; what is granted is within it."""
    chosen = choose_next_study(waiting, running, quotas, {})
    used = {name: sum(each.trials_at_once for each in running if each.submitter == name) for name in quotas}
    free = [each for each in waiting if each.submitter not in quotas or used[each.submitter] < quotas[each.submitter]]
    if chosen is None:
        assert free == []
        return
    study = next(each for each in waiting if each.study == chosen.study)
    assert study in free
    assert study.priority == max(each.priority for each in free)
    if study.submitter in quotas:
        assert 1 <= chosen.trials_at_once <= quotas[study.submitter] - used[study.submitter]


@given(_waiting)
def test_the_order_is_of_all_that_wait_and_by_priority(waiting):
    """Everyone's turn comes once, and no lower priority is before a higher one."""
    ordered = order_waiting(waiting, [], {})
    assert sorted(ordered) == sorted(each.study for each in waiting)
    of_study = {each.study: each.priority for each in waiting}
    assert [of_study[each] for each in ordered] == sorted(of_study.values(), reverse=True)


@given(_waiting, _running, st.dictionaries(_names, st.integers(0, 5)))
def test_the_order_is_what_comes_of_choosing_again_and_again(waiting, running, started):
    """A place in the queue that is shown is the place in which a study begins, if each one ends at once."""
    rest, last, now, chosen = list(waiting), dict(started), max(started.values(), default=0), []
    while rest:
        study = choose_next_study(rest, running, {}, last).study
        found = next(each for each in rest if each.study == study)
        rest.remove(found)
        now += 1
        last[found.submitter] = now
        chosen.append(study)
    assert order_waiting(waiting, running, started) == tuple(chosen)


@pytest.mark.parametrize("later", [1, 5])
def test_nobody_starves(later):
    """Of two submitters who always have something waiting, neither begins twice in a row."""
    queue = [waits(f"{who}-{number}", who, since=number * later) for number in range(6) for who in ("ann", "bob")]
    started, begun = {}, []
    for clock in range(1, len(queue) + 1):
        study = choose_next_study(queue, [], {}, started).study
        found = next(each for each in queue if each.study == study)
        queue.remove(found)
        started[found.submitter] = clock
        begun.append(found.submitter)
    assert all(one != other for one, other in itertools.pairwise(begun))


def test_a_tie_is_decided_the_same_way_every_time():
    """Two studies of one moment go by name."""
    pair = [waits("b"), waits("a")]
    assert choose_next_study(pair, [], {}, {}) == choose_next_study(
        [replace(each) for each in reversed(pair)], [], {}, {}
    )
