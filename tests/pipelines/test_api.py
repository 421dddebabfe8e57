"""The Python API where the tests of the command and of the pages do not reach."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from fake_channel import FakeChannel
from weights_alone import leave_weights_alone

from pipelines.api import Int, Space, StudyFailedError, StudyResult, load_study, run
from pipelines.data.prepared_folder import load_raw
from pipelines.models.raw_predict import predict_raw
from pipelines.queries.views import BestTrial, TrialRow
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import TrainingSpec
from pipelines.supervisor.events import StudyEnded, TrialEnded
from pipelines.training.messages import TrialJob
from pipelines.training.resource_use import ResourceUse
from pipelines.training.trial import train_trial
from pipelines.workspace.home import Home
from search_spaces.errors import InputError


@pytest.mark.long
def test_the_best_model_of_a_fleet_is_loaded(tmp_path, mixed_data):
    """A paused study's best trial may have left its weights alone: its model is written when it is loaded."""
    home = Home(tmp_path, str(tmp_path))
    home.locate_study("it").mkdir(parents=True)
    home.locate_data("it").symlink_to(mixed_data)
    values = {"units": 4, "depth": 1, "batch_size": 16, "epochs": 1}
    train_trial(
        TrialJob(
            "it", 2, values, frozenset(), 3, "mlp", TrainingSpec(), str(mixed_data), str(home.locate_trial("it", 2)),
            "val_loss", "minimize", frozenset(),
        ),
        FakeChannel(),
    )  # fmt: skip
    before = leave_weights_alone(home.locate_trial("it", 2))
    best = TrialRow(2, "complete", (0.5,), values, 1, 1.0, "", {})
    winner = BestTrial("it", best, "val_loss", "minimize", {}, str(home.locate_trial("it", 2) / "model.keras"))
    result = StudyResult("it", home, "paused", "", (best,), winner)
    raw = load_raw(mixed_data, "validation")
    np.testing.assert_array_equal(predict_raw(result.load_model(), raw), predict_raw(before, raw))


def test_trials_as_a_frame():
    """A row for each trial, with the objective, hyperparameters and metrics as columns; a failed one has its reason."""
    use = ResourceUse(0.75, 200_000_000)
    metrics = {"val_loss": 0.5, "loss": 0.25}
    best = TrialRow(1, "complete", (0.5,), {"units": 4}, 1, 1.5, "", metrics, epochs=3, resources=use)
    failed = TrialRow(0, "failed", (), {"rate": 0.1}, None, None, "no", {})
    winner = BestTrial("it", best, "val_loss", "minimize", {}, "")
    result = StudyResult("it", Home.find("home"), "finished", "", (failed, best), winner)
    frame = result.trials_frame()
    assert frame.loc[1].drop("rate").to_dict() == {
        **{"state": "complete", "val_loss": 0.5, "units": 4.0, "loss": 0.25, "best_epoch": 1.0, "epochs": 3.0},
        **{"seconds": 1.5, "cpu_s": 0.75, "peak_memory_bytes": 2e8, "reason": ""},
    }
    assert frame.loc[0, "reason"] == "no"
    assert (result.best.value, result.best.params) == (0.5, {"units": 4})


class FakeSupervisor:
    """A supervisor of a study without any trial that completes."""

    study = "it"

    def __init__(self, home):
        self.home = home
        self.is_paused = self.is_stopped = False

    def stop(self):
        self.is_stopped = True

    def find_trial(self, number):
        return TrialSummary(number, "failed", None, {"units": 4}, reason="bad luck")

    def pause(self):
        self.is_paused = True

    def run(self):
        yield TrialEnded(0, "failed", None, "bad [luck]", 1.0, is_best=False)
        state, reason = ("paused", "paused on request") if self.is_paused else ("finished", "1 trial")
        yield StudyEnded("it", state, reason, "val_loss", None, None, {}, {"failed": 1}, 2.0, 0, "")


@pytest.fixture
def supervised(monkeypatch, tmp_path):
    """Replace the supervision of studies; return the studies that were supervised."""
    studies, supervisors = [], []

    @contextmanager
    def supervise(study, home, *, evolve, listener):
        studies.append((study, home, evolve))
        supervisors.append(FakeSupervisor(home))
        yield supervisors[-1]

    monkeypatch.setattr("pipelines.operations.run.supervise", supervise)
    monkeypatch.setenv("KERASTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(FakeSupervisor, "all", supervisors, raising=False)
    return studies


def test_run_completes_a_study_file(supervised, capsys):
    """Short forms stand for sections; events are lines; a study without a result is an error."""
    text = "study: it\ndata: {source: 'sklearn:iris'}\nmodel: mlp\n"
    with pytest.raises(StudyFailedError, match="it has no best trial: 1 trial"):
        run(text, budget=7, objective="val_loss", space=Space((Int("units", 2, 4),)), search={"seed": 3}, evolve=True)
    ((study, _, evolve),) = supervised
    assert (study.spec.budget.trials, study.spec.objective.metric, study.spec.search.seed) == (7, "val_loss", 3)
    assert list(study.space.parameters) == ["units"]
    assert evolve
    assert capsys.readouterr().out.splitlines()[-1] == "it finished: 1 trial (1 failed) after 2.0s"


def test_a_callback_gets_each_trial_and_may_end_the_study(supervised):
    """It gets the trial with its hyperparameters; the study ends once it returns True, and for nothing else."""
    seen = []
    for answer in (None, False, "yes", True):

        def look(trial, answer=answer):
            seen.append((trial.number, trial.state, trial.params))
            return answer

        with pytest.raises(StudyFailedError):
            run({"study": "it", "data": {"source": "sklearn:iris"}, "model": "mlp"}, on_trial=look)
        assert seen[-1] == (0, "failed", {"units": 4})
        assert FakeSupervisor.all[-1].is_stopped == (answer is True)
    assert len(seen) == 4


def test_results_are_short():
    """A notebook's last line shows the state and the best trial; the HTML has the best trials, and escapes names."""
    best = TrialRow(1, "complete", (0.5,), {"units": 4, "rate": 0.123456789}, 1, 1.5, "", {"val_loss": 0.5})
    pruned = TrialRow(0, "pruned", (0.4,), {"units": 2}, 1, 1.5, "pruned", {"val_loss": 0.4})
    winner = BestTrial("it", best, "val_loss", "minimize", {}, "")
    result = StudyResult("it", Home.find("home"), "finished", "", (pruned, best), winner)
    assert repr(result) == "<study it: finished after 2 trials, best val_loss 0.5 (t001)>"
    assert repr(result.best) == "<trial t001 of it: 0.5 with units=4, rate=0.12346>"
    page = replace(result, study="<it>")._repr_html_()
    assert "&lt;it&gt;" in page
    assert "pruned" not in page


def test_listening_takes_the_place_of_printing(supervised, capsys):
    """Who listens prints what she wants."""
    events = []
    with pytest.raises(StudyFailedError):
        run({"study": "it", "data": {"source": "sklearn:iris"}, "model": "mlp"}, listen=events.append)
    assert [type(event) for event in events] == [TrialEnded, StudyEnded]
    assert capsys.readouterr().out == ""


def test_ctrl_c_pauses_and_is_raised_again(supervised):
    """Cells below must not go on without a result."""

    def interrupt(event):
        if isinstance(event, TrialEnded):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="it is paused; the same call resumes it"):
        run({"study": "it", "data": {"source": "sklearn:iris"}, "model": "mlp"}, listen=interrupt)


def test_a_checked_study_stays_as_it_was_checked(supervised):
    """Its keys are those of `make_study`."""
    study = load_study({"study": "it", "data": {"source": "sklearn:iris"}, "model": "mlp"})
    with pytest.raises(InputError, match=r"a checked study cannot be changed; pass its keys \(budget\) to make_study"):
        run(study, budget=3)
    assert supervised == []
