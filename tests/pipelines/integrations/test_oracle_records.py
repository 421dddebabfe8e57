"""Queue entry of a study that a KerasTuner tuner runs."""

from __future__ import annotations

import pytest

from pipelines.integrations.oracle_names import make_queue_name, make_record_name, read_goal
from pipelines.integrations.oracle_records import OracleLease
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.objective import Objective
from search_spaces.errors import InputError
from tracking.store.study_queue import StudyQueue

LOSS = Objective("val_loss", "minimize")


def test_a_tuners_study_has_a_name_that_no_study_file_can_have():
    """In the queue it has a prefix, and in MLflow it has none; the name of a study file stays as it is."""
    assert make_queue_name("it") == "keras_tuner/it"
    assert (make_record_name("keras_tuner/it"), make_record_name("it")) == ("it", "it")


def test_the_goal_of_a_tuners_study_is_in_the_queue(store):
    """Objective and number of trials are read back; a later search may have more trials, and no other objective."""
    queue = StudyQueue(store)
    for trials in (4, 9):
        OracleLease("it", LOSS, trials, store).release([])
        assert read_goal(queue.get("keras_tuner/it")) == (LOSS, trials)
    with pytest.raises(InputError, match="was started to minimize val_loss, and not to maximize auc"):
        OracleLease("it", Objective("auc", "maximize"), 4, store)


@pytest.mark.parametrize(("ended", "state"), [(1, "paused"), (2, "finished")])
def test_a_search_that_ends_early_is_paused(store, ended, state):
    """The study is finished when its number of trials has ended, and free for another process in any case."""
    trials = [TrialSummary(number, "complete", 1.0 - number, {}, 1) for number in range(ended)]
    lease = OracleLease("it", LOSS, 2, store)
    for _ in range(2):
        lease.release(trials)
    record = StudyQueue(store).get("keras_tuner/it")
    assert (record.state, record.winner, record.owner) == (state, ended - 1, None)
