"""A winner's ensemble: its own model and folds of it, averaged, and delivered where the folds are as good."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
from desk import FILE, Desk
from fake_engine import Ends, FakeEngine, training
from scripted_finalists import compared, retraining_of, script
from small_studies import study_of

from pipelines.data.jobs import DataJob
from pipelines.data.splits.division import Division
from pipelines.queries.study_reader import StudyReader
from pipelines.supervisor.event_text import format_end, format_event
from pipelines.supervisor.events import EnsembleDecided, EnsembleTraining, Noted
from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import locate_epochs_file, locate_fold
from pipelines.workspace.home import Home
from tracking.outbox.records import StudyClosed, TrialFinished
from tracking.store.database import Store
from tracking.store.retrainings import Retrainings

FOLDS = (0.3, 0.1, 0.2, 0.25, 0.15)


@pytest.fixture
def desk(tmp_path):
    with Store.open(tmp_path) as store:
        yield Desk(store, Home(tmp_path, str(tmp_path)))


def script_folds(*scores):
    """Train folds with these scores, each with its model; all other trials follow `scripted_finalists`."""

    def train(job):
        if not retraining_of(job).startswith("folds-"):
            return (yield from script(job))
        result = yield from training(job, [scores[0]])
        for fold, score in enumerate(scores):
            done = EpochDone(0, 1, fold, 1, {job.metric: score})
            locate_epochs_file(Path(job.folder), fold).write_text(json.dumps(asdict(done)) + "\n")
            config = locate_fold(Path(job.folder), fold) / "artifacts" / "config.json"
            config.parent.mkdir(parents=True)
            config.write_text("{}")
        return result

    return train


class Engine(FakeEngine):
    """An engine that writes the file of an ensemble that scores better than the winner, as a worker does."""

    def __init__(self, train=None, *, ours=0.05, own=0.1):
        others = {"data": None, "ensemble": (ours, own, "loss")}
        super().__init__(train or script_folds(*FOLDS), workers=2, test_scores={}, others=others)
        self._is_better = ours < own

    def submit(self, job):
        super().submit(job)
        if job.name == "ensemble" and self._is_better:
            folder = Path(job.payload.folder)
            (folder / "artifacts").mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(folder / "model.keras", "w") as archive:
                archive.writestr("config.json", json.dumps({"config": {"name": "ensemble"}}))


def run(desk, made, selection="ensemble: true"):
    """Run the study and return its events."""
    return desk.run(made, trials=4, selection=selection)


def test_folds_as_good_as_the_trial_are_delivered(desk):
    """The mean of the trial's own model and its folds is the winning model, with a run and a reason."""
    made = Engine()
    events = run(desk, made)
    ended = events[-1]
    [training_event] = [event for event in events if isinstance(event, EnsembleTraining)]
    text = "t000 is trained again for an ensemble: 5 folds of the training and validation rows to go"
    assert format_event(training_event) == text
    [data] = [job.payload for job in made.other_jobs if isinstance(job.payload, DataJob)]
    assert data.division == Division(5)
    [built] = [job.payload for job in made.other_jobs if job.name == "ensemble"]
    folds = desk.home.locate_retraining("it", 0, "folds-5")
    assert built.winner == 0
    assert [Path(each.folder) for each in built.trials] == [
        desk.home.locate_trial("it", 0),
        *(locate_fold(folds, fold) for fold in range(5)),
    ]
    assert {each.data for each in built.trials[1:]} == {data.folder}
    own = "the trial's own model has 0.1 where it won"
    reason = f"its 5 folds have a mean val_loss of 0.2, each on rows held out; {own}"
    assert ended.ensemble_reason == f"ensemble of 6 models delivered: {reason}"
    assert ended.ensemble_reason in format_end(ended)
    assert ended.ensemble == pytest.approx(0.2)
    [closed] = desk.records(StudyClosed)
    assert (closed.winner, closed.retraining) == (0, "ensemble")
    [kept] = [record for record in desk.records(TrialFinished) if record.retraining == "ensemble"]
    assert Path(kept.model).parent.name == "ensemble"
    assert not any(locate_fold(folds, fold).exists() for fold in range(5)), "the ensemble holds their models"
    with StudyReader(desk.home, desk.store) as reader:
        best = reader.find_best_trial("it")
        assert Path(best.model).parent.name == "ensemble"
        assert best.ensemble_of == (0,) * 6
        assert (best.ensemble_reason, reader.read_end("it").ensemble_reason) == (ended.ensemble_reason,) * 2


def test_an_ensemble_that_another_one_replaces_is_named_no_more(desk):
    """Paused while the other one is trained, the study has none: its model is gone, and so is the reason."""
    run(desk, Engine())
    supervisor = desk.supervisor(Engine(script_folds(*FOLDS[:3])), trials=4, selection="ensemble: 4")
    for event in supervisor.run():
        if isinstance(event, EnsembleTraining):
            supervisor.pause()
    assert (event.state, event.ensemble_reason) == ("paused", "")
    with StudyReader(desk.home, desk.store) as reader:
        assert reader.find_best_trial("it").ensemble_reason == ""


def test_an_ensemble_is_decided_once(desk):
    """A further run takes what is there; another number of models is another ensemble."""
    run(desk, Engine())
    again = Engine()
    assert run(desk, again)[-1].ensemble_reason.startswith("ensemble of 6 models delivered")
    assert not again.jobs
    other = Engine(script_folds(*FOLDS[:3]))
    ended = run(desk, other, "ensemble: 4")[-1]
    assert [retraining_of(job) for job in other.jobs] == ["folds-3"]
    assert ended.ensemble_reason.startswith("ensemble of 4 models delivered")
    assert run(desk, Engine(), "")[-1].ensemble_reason == ""


def test_a_refit_of_before_is_not_called_delivered_beside_it(desk):
    """A study that delivered a refit, and now an ensemble, names the model that it delivers, whoever reads it."""
    made, ways = Engine(), compared(own=2.0, refit=0.9)
    made._others = {**made._others, **ways}
    assert run(desk, made, "refit: true")[-1].refit_reason.startswith("refit delivered")
    assert run(desk, Engine(), "")[-1].refit_reason == ""
    events = run(desk, Engine(), "refit: true, ensemble: true")
    ended = events[-1]
    assert ended.ensemble_reason.startswith("ensemble of 6 models delivered")
    notes = [event.note for event in events if isinstance(event, Noted)]
    assert [note.partition(",")[0] for note in notes] == ["no refit is made"]
    assert (ended.refit, ended.refit_reason) == (False, "")
    with StudyReader(desk.home, desk.store) as reader:
        assert reader.find_best_trial("it").refit_reason == ""


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (
            Engine(script_folds(0.3, 0.1, 0.2, 0.25, 9.15)),
            "a fold has val_loss 9.15; its 5 folds have a mean val_loss of 2",
        ),
        (Engine(ours=0.2), "val_loss is 0.2 on the validation rows, and the trial's own model has 0.1"),
    ],
)
def test_folds_that_train_worse_are_not_delivered(desk, made, reason):
    """Where one has gone wrong, or the mean is no better on rows that most trained on."""
    ended = run(desk, made)[-1]
    assert ended.ensemble_reason.startswith(f"ensemble not delivered: {reason}")
    assert ended.ensemble is None
    [closed] = desk.records(StudyClosed)
    assert closed.retraining == ""
    assert {each.name: each.state for each in Retrainings(desk.store).list("it")}["ensemble"] == "failed"
    again = Engine()
    run(desk, again)
    assert not again.jobs, "what was decided is not decided again"


def test_folds_that_rank_finalists_are_used_again(desk):
    """Where finalists are ranked by as many folds, the winner's models are there."""
    made = Engine(script_folds(*FOLDS[:3]))
    ended = run(desk, made, "finalists: 2, folds: 3, ensemble: true")[-1]
    assert sorted(retraining_of(job) for job in made.jobs if retraining_of(job)) == ["folds-3", "folds-3"]
    assert all(job.keeps_folds for job in made.jobs if retraining_of(job))
    assert ended.ensemble_reason.startswith("ensemble of 4 models delivered")


def test_a_failure_leaves_the_trials_own_model(desk):
    """The reason is stated, and a further run tries again."""

    def fail(job):
        if retraining_of(job):
            raise Ends("error", "no luck")
        return (yield from script(job))

    events = run(desk, Engine(fail))
    [decided] = [event for event in events if isinstance(event, EnsembleDecided)]
    assert not decided.is_as_good
    assert decided.reason == "it could not be built: folds-5 failed: no luck"
    assert events[-1].state == "finished"
    assert run(desk, Engine())[-1].ensemble_reason.startswith("ensemble of 6 models delivered")


def test_rows_in_an_order_have_other_seeds(desk):
    """Their folds would be trained on the earliest rows alone, so further seeds are averaged and scored."""
    settings = {"fleet": "off", "trials": 4, "pruner": "none", "sampler": "random", "budget": "", "keep": 1}
    file = FILE.format(**settings, selection="ensemble: 3").replace("target: y", "target: y, split: {order: x}")
    study = study_of(file)
    made = Engine()
    ended = desk.run(made, study=study)[-1]
    assert [retraining_of(job) for job in made.jobs[4:]] == ["member-1", "member-2"]
    [built] = [job.payload for job in made.other_jobs if job.name == "ensemble"]
    assert [Path(each.folder).name for each in built.trials] == ["0000", "member-1", "member-2"]
    reason = "val_loss is 0.05 on the validation rows, and the trial's own model has 0.1"
    assert ended.ensemble_reason == f"ensemble of 3 models delivered: {reason}"
