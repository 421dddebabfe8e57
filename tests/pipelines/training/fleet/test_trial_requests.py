"""Rules of when a fleet requests trials, and when it takes the answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.training.fleet.messages import SlotsFree
from pipelines.training.fleet.trial_requests import TrialRequests

EPOCHS = 12
ENDED: Any = {0: "ended"}


class Supervisor:
    """Channel that answers with names of trials, and notes in which order things happen."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = deque(tuple(each) for each in answers)
        self.happened: list[Any] = []

    def begin_request(self, message: SlotsFree) -> None:
        self.happened.append(message.free)

    def receive_answer(self) -> tuple[str, ...]:
        self.happened.append("received")
        return self.answers.popleft()


def train(requests: TrialRequests, slots: int, epochs: int) -> dict[int, tuple[str, ...]]:
    """Train a fleet whose trials have 12 epochs each; return the trials that began, by the epochs done before."""
    left: dict[str, int] = {}
    begun: dict[int, tuple[str, ...]] = {}
    ended: dict[int, Any] = {}
    for epoch in range(epochs):
        while requests.is_open or requests.begin(slots - len(left), ended):
            ended = {} if requests.is_open else ended
            given: Any = requests.receive(is_idle=not left)
            if given is None:
                break
            for trial in given:
                requests.set_epochs(EPOCHS)
                left[trial] = EPOCHS
                begun[epoch] = (*begun.get(epoch, ()), trial)
        requests.count_epoch()
        left = {trial: rest - 1 for trial, rest in left.items()}
        ended = {**ended, **{hash(trial): trial for trial, rest in left.items() if rest == 0}}
        left = {trial: rest for trial, rest in left.items() if rest > 0}
    return begun


def test_on_an_accelerator_all_free_slots_are_filled_at_once():
    supervisor = Supervisor("abc", "def", "")
    requests = TrialRequests(supervisor, 3, spread=False)
    assert train(requests, 3, 25) == {0: ("a", "b", "c"), 12: ("d", "e", "f")}
    assert supervisor.happened == [3, "received", 3, "received", 3, "received"]


def test_on_a_cpu_slots_begin_one_by_one_and_others_train_while_a_trial_is_drawn():
    supervisor = Supervisor("a", "b", "c", "d", "e", "f", "")
    requests = TrialRequests(supervisor, 3, spread=True)
    begun = train(requests, 3, 30)
    assert begun == {0: ("a",), 4: ("b",), 8: ("c",), 16: ("d",), 20: ("e",), 24: ("f",)}


def test_an_answer_that_came_early_is_taken_at_the_same_epoch():
    supervisor = Supervisor("a", "b", "")
    requests = TrialRequests(supervisor, 2, spread=True)
    assert requests.begin(2, {})
    assert requests.receive(is_idle=True) == ("a",)
    requests.set_epochs(EPOCHS)
    assert requests.begin(1, {})
    requests.fetch()  # a rung is reached, whose request must not meet this answer
    assert requests.receive(is_idle=False) is None
    for _ in range(EPOCHS // 2):
        requests.count_epoch()
    assert requests.receive(is_idle=False) == ("b",)


def test_a_fleet_without_a_trial_waits_for_the_answer():
    requests = TrialRequests(Supervisor("a", ""), 2, spread=True)
    assert requests.begin(2, {})
    requests.set_epochs(EPOCHS)
    assert requests.receive(is_idle=True) == ("a",)


@pytest.mark.parametrize("spread", [True, False])
def test_after_too_few_trials_the_next_request_waits_for_an_end(spread):
    supervisor = Supervisor("", "a")
    requests = TrialRequests(supervisor, 2, spread=spread)
    assert requests.begin(2, {})
    assert requests.receive(is_idle=True) == ()
    assert not requests.begin(2, {})
    assert requests.begin(2, ENDED)


def test_without_a_free_slot_nothing_is_requested():
    assert not TrialRequests(Supervisor(), 2, spread=True).begin(0, {})
