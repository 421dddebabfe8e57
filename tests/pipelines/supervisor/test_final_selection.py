"""The end of a study whose winner is chosen by further trainings, all of them scripted."""

import pytest
from desk import Desk
from fake_engine import Ends, training
from scripted_finalists import engine, retraining_of, run, script

from pipelines.queries.study_reader import StudyReader
from pipelines.supervisor.event_text import format_event
from pipelines.supervisor.events import FinalistsChosen, RetrainingEnded, StudyEnded
from pipelines.workspace.home import Home
from tracking.outbox.records import StudyClosed
from tracking.store.database import Store
from tracking.store.retrainings import Retrainings


@pytest.fixture
def desk(tmp_path):
    with Store.open(tmp_path) as store:
        yield Desk(store, Home(tmp_path, str(tmp_path)))


def test_the_mean_of_further_trainings_decides(desk):
    """The best of the search loses to the trial that is better when trained again; its own score counts no more."""
    ended = run(desk)
    assert (ended.state, ended.winner) == ("finished", 2)
    assert [finalist.number for finalist in ended.finalists] == [2, 1, 0]
    assert ended.finalists[0].scores == (0.4, 0.5, 0.6)
    assert ended.finalists[0].mean == pytest.approx(0.5)
    # t at 97.5 % with 2 degrees of freedom is 4.303; 0.1 / sqrt(3) is the standard error.
    assert ended.finalists[0].interval == pytest.approx((0.5 - 0.24843, 0.5 + 0.24843), abs=1e-4)
    [closed] = desk.records(StudyClosed)
    assert (closed.winner, closed.best_value, closed.retraining) == (2, 0.2, "")
    assert closed.metrics["winner_mean"] == pytest.approx(0.5)
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
        assert (best.trial.number, best.finalists) == (2, ended.finalists)
        assert reader.read_end("it").finalists == ended.finalists
        assert reader.read_study("it").best_trial == 2


def test_without_finalists_the_best_trial_wins(desk):
    """By default nothing is trained again."""
    made = engine()
    assert run(desk, made, selection="").winner == 0
    assert len(made.jobs) == 4


def test_what_was_trained_is_not_trained_again(desk):
    """A study that was cut off goes on with the trainings that are missing."""

    def cut_off_after(count):
        for said in supervisor.run():
            if isinstance(said, RetrainingEnded):
                count -= 1
            if not count:
                raise KeyboardInterrupt
        raise AssertionError("nothing was cut off")

    study = desk.study(trials=4, selection="finalists: 3, seeds: 3")
    supervisor = desk.supervisor(engine(), study=study)
    with pytest.raises(KeyboardInterrupt):
        cut_off_after(4)
    done = {(each.number, each.name) for each in Retrainings(desk.store).list("it")}
    assert len(done) == 4
    made = engine()
    ended = run(desk, made)
    assert ended.winner == 2
    assert {(job.number, retraining_of(job)) for job in made.jobs}.isdisjoint(done)
    assert len(made.jobs) == 5


def test_more_seeds_add_trainings(desk):
    """Seeds that were trained stay; only those that are new are trained."""
    run(desk, selection="finalists: 3, seeds: 2")
    made = engine()
    ended = run(desk, made)
    assert sorted((job.number, retraining_of(job)) for job in made.jobs) == [(n, "seed-3") for n in (0, 1, 2)]
    assert ended.finalists[0].scores == (0.4, 0.5, 0.6)


@pytest.mark.parametrize(("fail", "left", "winner"), [({2}, [1, 0], 1), ({0, 1, 2}, [], 0)])
def test_a_trial_whose_trainings_all_fail_cannot_win(desk, fail, left, winner):
    """It is left out of the ranking; where all are, the best of the search wins."""

    def unlucky(job):
        if retraining_of(job) and job.number in fail:
            raise Ends("error", "no")
        return (yield from script(job))

    ended = run(desk, engine(unlucky))
    assert [finalist.number for finalist in ended.finalists] == left
    assert ended.winner == winner


def test_models_of_all_finalists_are_kept(desk):
    """Any of them may win, however few models are to be kept."""
    run(desk, keep=1, selection="finalists: 3, seeds: 1")
    assert desk.models() == [0, 1, 2]


def test_a_pause_is_obeyed_between_trainings(desk):
    """The study is paused, and what was trained is kept."""
    study = desk.study(trials=4, selection="finalists: 3, seeds: 3")
    supervisor = desk.supervisor(engine(), study=study)
    said = []
    for event in supervisor.run():
        said.append(event)
        if isinstance(event, RetrainingEnded):
            supervisor.pause()
    assert isinstance(said[-1], StudyEnded)
    assert said[-1].state == "paused"
    assert 0 < len(Retrainings(desk.store).list("it")) < 9


def test_trials_that_cannot_be_told_apart_are_trained_again(desk):
    """By default and without a word in the study file; a further run finds them decided, and 0 turns it off."""
    again = {0: [1.2, 1.3], 1: [1.0, 1.1]}

    def train(job):
        name = retraining_of(job)
        wanted = (
            again[job.number][int(name.removeprefix("seed-")) - 1] if name else [1.0, 1.01, 9.0][min(job.number, 2)]
        )
        return (yield from training(job, [wanted + 1, wanted, wanted + 2]))

    events = desk.run(engine(train), trials=30)
    [chosen] = [event for event in events if isinstance(event, FinalistsChosen)]
    assert (chosen.numbers, chosen.trainings) == ((0, 1), 4)
    line = format_event(chosen)
    # Each of the two took three epochs, and so do two further trainings of each.
    assert line.startswith(
        "t000, t001 are trained again to choose the winner: at most 4 trainings to go, about 12 epoch"
    )
    assert "val_loss on 4 rows has a standard error of 0.35, and they are within it" in line
    ended = events[-1]
    assert (ended.winner, [finalist.number for finalist in ended.finalists]) == (1, [1, 0])
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
        assert best.finalists == ended.finalists
        assert best.finalists_reason == f"trained again: {chosen.reason}"
    made = engine(train)
    events = desk.run(made, trials=30)
    assert events[-1].winner == 1
    assert not made.jobs
    assert not any(isinstance(event, FinalistsChosen) for event in events)
    assert desk.run(engine(train), trials=30, selection="finalists: 0")[-1].winner == 0


def close_call(again, later=9.0):
    """Script a search whose first two trials are close, and scores of further trainings; trial 30 scores `later`."""

    def train(job):
        if name := retraining_of(job):
            wanted = again[job.number][int(name.removeprefix("seed-")) - 1]
        else:
            wanted = {0: 1.0, 1: 1.01, 30: later}.get(job.number, 9.0)
        return (yield from training(job, [wanted + 1, wanted, wanted + 2]))

    return train


def test_a_larger_budget_may_find_a_further_rival(desk):
    """It is trained again too: those that an earlier run has trained do not stand apart from it before that."""
    again = {0: [1.2] * 3, 1: [1.0] * 3, 30: [0.5] * 3}
    assert desk.run(engine(close_call(again, later=0.99)), trials=30)[-1].winner == 1
    made = engine(close_call(again, later=0.99))
    ended = desk.run(made, trials=60)[-1]
    assert {job.number for job in made.jobs if retraining_of(job)} == {30}
    assert (ended.winner, ended.finalists[0].mean) == (30, 0.5)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_finalists_chosen_by_few_rows_survive_a_kill(desk, cut):
    """Cut off after any training, the rest is trained, and the same trial wins by the same scores."""
    # Three of the first one and two of the other stand apart, and three of each have the other order.
    again = {0: [1.0, 1.1, 1.05], 1: [1.25, 1.2501, 0.4]}
    many = 60  # the share of whose time is enough for three trainings of both
    supervisor = desk.supervisor(engine(close_call(again)), study=desk.study(trials=many))
    ended = 0
    with pytest.raises(KeyboardInterrupt):
        for event in supervisor.run():
            ended += isinstance(event, RetrainingEnded)
            if ended == cut:
                raise KeyboardInterrupt
    last = desk.run(engine(close_call(again)), trials=many)[-1]
    assert [len(finalist.scores) for finalist in last.finalists] == [3, 3]
    assert last.winner == 1


def test_a_winner_that_stands_apart_is_not_trained_again(desk):
    """By default, which is `selection: auto`, a line states that and why, as the search ends and afterwards."""
    events = desk.run(engine(lambda job: training(job, [2.0, 1.0 + 9 * job.number, 3.0])), trials=4)
    [line] = [format_event(event) for event in events if isinstance(event, FinalistsChosen)]
    reason = "val_loss on 4 rows has a standard error of 0.35, and the next trial is 1 behind; the best trial wins"
    assert line == f"selection: auto trains no trial again: {reason}"
    with StudyReader(desk.home, desk.store) as reader:
        assert reader.find_best_trial("it").finalists_reason == f"no trial trained again: {reason}"


def test_the_cost_of_declared_finalists_is_shown(desk):
    """In trainings and in epochs, if each takes as many as its trial took."""
    events = desk.run(engine(script), trials=4, selection="finalists: 3, seeds: 3")
    [chosen] = [event for event in events if isinstance(event, FinalistsChosen)]
    epochs = sum(trial.epochs for trial in desk.trials() if trial.number < 3)
    assert (chosen.trainings, chosen.epochs) == (9, 3 * epochs)


def test_a_short_search_trains_nothing_again(desk):
    """What it would cost is over the share of the search's time; one line states that."""
    made = engine(lambda job: training(job, [2.0, 1.0 + 0.01 * job.number, 3.0]))
    events = desk.run(made, trials=4)
    assert len(made.jobs) == 4
    [line] = [format_event(event) for event in events if isinstance(event, FinalistsChosen)]
    assert "t000, t001 cannot be distinguished: val_loss on 4 rows has a standard error of 0.35" in line
    assert "selection: {finalists: 2} trains them all the same" in line
