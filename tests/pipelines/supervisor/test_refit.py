"""A winner's refit: compared with the trial's own way of training, and delivered where it is better."""

from dataclasses import replace
from pathlib import Path

import pytest
from desk import Desk
from fake_engine import Ends, training
from scripted_finalists import compared, engine, retraining_of, run, script

from pipelines.data.jobs import DataJob
from pipelines.data.splits.division import Division
from pipelines.engines.base import Finished
from pipelines.queries.study_reader import StudyReader
from pipelines.selection.refit import COMPARED_TRAININGS, RefitComparison
from pipelines.study.objective import Objective
from pipelines.supervisor.events import RefitCompared, RefitComparing, RetrainingEnded
from pipelines.supervisor.refit import Refit
from pipelines.workspace.home import Home
from tracking.outbox.records import ModelDisplaced, StudyClosed, TrialFinished
from tracking.store.database import Store
from tracking.store.retrainings import Retrainings

REFIT = "refit: true"
FINALISTS = f"finalists: 3, seeds: 3, {REFIT}"
# Two rows are held out, so a mean score of 2 has a standard error of 1.
BETTER, WORSE = compared(own=2.0, refit=0.9), compared(own=1.5, refit=2.0)


@pytest.fixture
def desk(tmp_path):
    with Store.open(tmp_path) as store:
        yield Desk(store, Home(tmp_path, str(tmp_path)))


def jobs_of(made, *names):
    return {retraining_of(job): job for job in made.jobs if retraining_of(job) in names}


def test_both_ways_are_trained_on_the_same_rows_and_scored_on_others(desk):
    """As the trial, and as the refit: with new seeds, without half of the validation rows, which score both."""
    made = engine(others=BETTER)
    run(desk, made, selection=FINALISTS)
    jobs = jobs_of(made, *(each.name for each in COMPARED_TRAININGS))
    assert {name: (job.number, job.refit_epochs) for name, job in jobs.items()} == {
        **{f"compare-own-{index}": (2, None) for index in (1, 2, 3)},
        **{f"compare-refit-{index}": (2, 2) for index in (1, 2, 3)},
    }
    assert len({job.seed for job in jobs.values()}) == 6
    divided = {job.payload.folder: job.payload for job in made.other_jobs if isinstance(job.payload, DataJob)}
    own, refit = (divided[jobs[name].data] for name in ("compare-own-1", "compare-refit-1"))
    assert (own.division, refit.division) == (Division(holds_out=True), Division(1, holds_out=True))
    assert own.expected == "ab" * 32, "the data must be what the study was begun with"
    [scored] = [job.payload for job in made.other_jobs if job.name == "compare-refit"]
    assert [(each.trial.folder, each.trial.data) for each in scored] == [
        (jobs[each.name].folder, jobs[each.name].data) for each in COMPARED_TRAININGS
    ]
    assert not any(Path(job.data).exists() for job in jobs.values()), "its rows are of no further use"
    assert not any((Path(job.folder) / "model.keras").exists() for job in jobs.values())


@pytest.mark.parametrize("refit", [2.0, 1.1])
def test_a_refit_that_is_better_by_no_more_than_noise_is_not_trained(desk, refit):
    """Other rows might show the contrary, and the trial's own model was chosen by its validation rows."""
    ended = run(desk, made := engine(others=compared(own=2.0, refit=refit)), selection=REFIT)
    assert not ended.refit and not jobs_of(made, "refit")
    assert ended.refit_reason.endswith("; the difference is within the standard error of 1 over these rows")


def test_the_noise_of_some_metrics_is_not_known():
    """Then a refit is delivered where its way is as good."""
    unknown = RefitComparison(Objective("val_gain", "maximize"), (2.0, 2.0), (2.0, 2.0))
    assert unknown.is_established
    assert not replace(unknown, refit=(1.9, 2.0)).is_established


def test_a_refit_that_is_better_is_delivered(desk):
    """The winner is trained once more on another division of the same data, and that model wins."""
    made = engine(others=BETTER)
    ended = run(desk, made, selection=FINALISTS)
    refit = jobs_of(made, "refit")["refit"]
    assert (refit.number, refit.refit_epochs) == (2, 2), "the second epoch was best in each training"
    divided = [job.payload.division for job in made.other_jobs if isinstance(job.payload, DataJob)]
    assert divided[-1] == Division(1)
    assert ended.refit
    scores = "val_loss is 0.9 with the others in training and 2 as the trial trains (means of 3 trainings)"
    assert ended.refit_reason == f"refit delivered: on validation rows held out, {scores}"
    [closed] = desk.records(StudyClosed)
    assert (closed.winner, closed.retraining) == (2, "refit")
    kept = [record for record in desk.records(TrialFinished) if record.retraining == "refit"]
    assert [Path(record.model).parent.name for record in kept] == ["refit"]
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
        assert Path(best.model) == desk.home.locate_retraining("it", 2, "refit") / "model.keras"
        assert (best.refit_reason, reader.read_end("it").refit_reason) == (ended.refit_reason, ended.refit_reason)
    again = engine(others=WORSE)
    assert run(desk, again, selection=FINALISTS).refit, "what was decided is not decided again"
    assert not again.jobs


def test_a_refit_that_is_worse_is_not_trained(desk):
    """The trial's own model is delivered, and every interface has the reason."""
    made = engine(others=WORSE)
    ended = run(desk, made, selection=REFIT)
    assert not jobs_of(made, "refit")
    assert (ended.state, ended.winner, ended.refit) == ("finished", 0, False)
    scores = "val_loss is 2 with the others in training and 1.5 as the trial trains (means of 3 trainings)"
    assert ended.refit_reason == f"refit not delivered: on validation rows held out, {scores}"
    assert desk.records(StudyClosed)[0].retraining == ""
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
        assert (Path(best.model), best.refit) == (desk.home.locate_trial("it", 0) / "model.keras", False)
        assert best.refit_reason == ended.refit_reason
    assert not run(desk, engine(others=BETTER), selection=REFIT).refit


def test_the_comparison_is_reported(desk):
    """Its start and its result are events, and each training is a retraining of the winner."""
    said = desk.run(engine(others=WORSE), trials=4, selection=REFIT)
    assert [event.trainings for event in said if isinstance(event, RefitComparing)] == [6]
    [compared] = [event for event in said if isinstance(event, RefitCompared)]
    assert (compared.number, compared.is_as_good) == (0, False)
    stored = {each.name: each for each in Retrainings(desk.store).list("it")}
    assert {*stored} == {"auto-finalists", "refit-comparison", *(each.name for each in COMPARED_TRAININGS)}
    assert stored["refit-comparison"].scores == (1.5, 1.5, 1.5, 2.0, 2.0, 2.0)


def test_a_refit_that_does_worse_on_its_own_rows_is_not_delivered(desk):
    """Its last epoch may be a bad one: on rows that it was trained on it must reach what the trial does on others."""
    made = engine(others=compared(own=1.0, refit=0.4))
    ended = run(desk, made, selection=REFIT)
    assert not ended.refit
    assert ended.refit_reason == (
        "refit not delivered: val_loss is 1.9 on the validation rows, which it was trained on, and 1 as the trial "
        "trains on rows held out"
    )
    folder = desk.home.locate_retraining("it", 0, "refit")
    assert not any((folder / name).exists() for name in ("model.keras", "result.json"))
    assert [record.model for record in desk.records(TrialFinished) if record.retraining == "refit"] == [None]


@pytest.mark.parametrize(("value", "delivered"), [(1.5, True), (1.7, False)])
def test_a_refit_that_is_expected_to_do_worse_on_other_rows_is_not_delivered(desk, value, delivered):
    """The compared refits have 0.5 on rows that they were trained on and 0.9 on others: this one loses as much."""

    def last(job):
        if job.refit_epochs is None:
            return (yield from script(job))
        return (yield from training(job, [2.0, value if retraining_of(job) == "refit" else 0.5]))

    ended = run(desk, engine(last, others=BETTER), selection=REFIT)
    assert ended.refit is delivered
    if not delivered:
        assert ended.refit_reason == (
            "refit not delivered: val_loss is 1.7 on the validation rows, which it was trained on: 2.1 is expected on "
            "rows held out, and the trial's way has 2 there"
        )


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"data": None, "compare-refit": ({},) * 6}, "val_loss cannot be computed on rows held out"),
        ({"data": None}, "ValueError: no scores in this test"),
    ],
)
def test_a_refit_that_cannot_be_compared_is_not_trained(desk, others, reason):
    """A further run tries again."""
    made = engine(others=others)
    made._test_scores = None
    ended = run(desk, made, selection=REFIT)
    assert (ended.state, ended.refit, bool(jobs_of(made, "refit"))) == ("finished", False, False)
    assert ended.refit_reason.startswith("refit not delivered: it could not be compared with the trial's own model: ")
    assert reason in ended.refit_reason
    assert run(desk, engine(others=BETTER), selection=REFIT).refit


@pytest.mark.parametrize("name", ["compare-own-2", "compare-refit-3", "refit"])
def test_a_training_that_fails_leaves_the_trials_own_model(desk, name):
    """The study is finished all the same, and its reason names what failed."""

    def failing(job):
        if retraining_of(job) == name:
            raise Ends("error", "no")
        return (yield from script(job))

    ended = run(desk, engine(failing, others=BETTER), selection=REFIT)
    assert (ended.state, ended.winner, ended.refit) == ("finished", 0, False)
    assert f"{name} of trial 0 failed: no" in ended.reason
    assert ended.refit_reason.endswith("no")
    assert desk.records(StudyClosed)[0].retraining == ""
    assert run(desk, engine(others=BETTER), selection=REFIT).refit


def test_a_comparison_that_was_cut_off_goes_on(desk):
    """Only the trainings that are missing are trained."""
    supervisor = desk.supervisor(engine(others=BETTER), study=desk.study(trials=4, selection=REFIT))
    ended = 0
    with pytest.raises(KeyboardInterrupt):
        for event in supervisor.run():
            ended += isinstance(event, RetrainingEnded)
            if ended == 4:
                raise KeyboardInterrupt
    made = engine(others=BETTER)
    assert run(desk, made, selection=REFIT).refit
    assert len(made.jobs) == 3, "two trainings of the comparison, and the refit"


def test_other_epochs_are_compared_anew(desk):
    """More seeds may change the best number of epochs: the refit that was delivered is none of that number."""

    def longer(job):
        if retraining_of(job) == "seed-3":
            return (yield from script(job, late=True))
        return (yield from script(job))

    selection = "finalists: 1, seeds: 2, refit: true"
    assert run(desk, engine(others=BETTER), selection=selection).refit
    made = engine(longer, others=WORSE)
    ended = run(desk, made, selection=selection.replace("2", "3"))
    assert jobs_of(made, "compare-refit-1")["compare-refit-1"].refit_epochs == 3
    assert not ended.refit
    assert "not delivered" in ended.refit_reason


def killed_at_the_end_of(name, made, desk):
    """Run the study, and end its supervisor when the worker has ended a retraining, before it is recorded."""

    def end(event):
        if isinstance(event, Finished) and event.job == f"trial-0-{name}":
            raise KeyboardInterrupt

    made._on_event = end
    with pytest.raises(KeyboardInterrupt):
        run(desk, made, selection=REFIT)


def test_a_refit_that_a_kill_left_unrecorded_is_trained_again(desk):
    """Its file shows neither that it was judged nor that MLflow has its model."""
    killed_at_the_end_of("refit", engine(others=BETTER), desk)
    assert (desk.home.locate_retraining("it", 0, "refit") / "result.json").exists()
    made = engine(others=BETTER)
    assert run(desk, made, selection=REFIT).refit
    assert [*jobs_of(made, "refit")] == ["refit"]
    assert [each.state for each in Retrainings(desk.store).list("it") if each.name == "refit"] == ["complete"]
    assert [record.state for record in desk.records(TrialFinished) if record.retraining == "refit"] == ["complete"]


def test_a_kill_does_not_keep_a_refit_with_a_defect(desk):
    """It is judged once it is trained again: its last epoch is a bad one."""
    killed_at_the_end_of("refit", engine(others=compared(own=1.0, refit=0.4)), desk)
    ended = run(desk, engine(others=compared(own=1.0, refit=0.4)), selection=REFIT)
    assert not ended.refit
    assert "val_loss is 1.9 on the validation rows" in ended.refit_reason


def test_a_comparison_leaves_nothing_after_a_kill(desk, monkeypatch):
    """Cut off once the decision is stored, its models and rows are removed by the next run."""
    with monkeypatch.context() as patched:
        patched.setattr(Refit, "_remove_compared", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(desk, engine(others=WORSE), selection=REFIT)
    left = desk.home.locate_retraining("it", 0, "compare-own-1") / "model.keras"
    assert left.exists()
    made = engine(others=WORSE)
    assert not run(desk, made, selection=REFIT).refit
    assert not made.jobs
    assert not left.exists()


def test_another_refit_takes_the_place_of_the_first_in_mlflow(desk):
    """Its model is logged anew: the record of the first one's end comes before it."""

    def longer(job):
        return (yield from script(job, late=retraining_of(job) == "seed-3"))

    selection = "finalists: 1, seeds: 2, refit: true"
    assert run(desk, engine(others=BETTER), selection=selection).refit
    assert desk.records(ModelDisplaced) == []
    assert run(desk, engine(longer, others=BETTER), selection=selection.replace("2", "3")).refit
    of_refits = [
        record
        for record in desk.records()
        if isinstance(record, ModelDisplaced | TrialFinished) and record.retraining == "refit"
    ]
    assert [type(record) for record in of_refits] == [TrialFinished, ModelDisplaced, TrialFinished]
