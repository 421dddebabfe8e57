"""Models of likely winners: written beside the last trials, and given to those that are kept."""

from __future__ import annotations

import pytest
from desk import scores
from fake_engine import FakeEngine

from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, WEIGHTS_FILE

SCORES = (0.9, 0.8, 0.7, 0.1, 0.2, 0.6, 0.5, 0.05)
"""Of the first seven trials 3, 4 and 6 are the best, and the last one displaces the 6."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Look for likely winners whenever a trial has ended, and not once a second."""
    monkeypatch.setattr("pipelines.supervisor.models_ahead._EVERY_S", -1.0)
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())


class Engine(FakeEngine):
    """An engine whose jobs write models, and whose trials leave the weights of a fleet."""

    def __init__(self, desk, **others):
        super().__init__(self.script, others={"models": None, **others})
        self.desk = desk
        self.models = {}
        self.written = []

    def script(self, job):
        result = yield from scores(*SCORES)(job)
        folder = self.desk.home.locate_trial("it", job.number)
        self.models[job.number] = (folder / MODEL_FILE).read_bytes()
        (folder / MODEL_FILE).unlink()
        (folder / ARTIFACTS).mkdir(exist_ok=True)
        (folder / WEIGHTS_FILE).write_bytes(b"")
        return result

    def submit(self, job):
        super().submit(job)
        if job.name not in ("models", "models-ahead") or job.name not in self._others:
            return
        study = self.desk.home.locate_study("it")
        is_ahead = job.name == "models-ahead"
        for trial in job.payload.trials if is_ahead else job.payload:
            number = int(trial.folder[-4:])
            folder = study / ("models_ahead" if is_ahead else "trials") / f"{number:04d}"
            (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
            (folder / ARTIFACTS / "model_summary.txt").write_text(job.name)
            (folder / MODEL_FILE).write_bytes(self.models[number])
            self.written.append((job.name, number))


def list_models(desk):
    """Return the job that wrote the model of each trial that has one."""
    folders = [file.parent for file in desk.home.locate_study("it").glob(f"trials/*/{MODEL_FILE}")]
    return {int(each.name): (each / ARTIFACTS / "model_summary.txt").read_text() for each in folders}


def test_likely_winners_have_their_models_before_the_last_trial_has_ended(desk):
    """At the end only what is missing is written; a displaced trial has no file, and nothing else is left."""
    engine = Engine(desk, **{"models-ahead": None})
    last = desk.run(engine, trials=8, fleet="1")[-1]
    assert (last.state, last.winner) == ("finished", 7)
    assert {number for name, number in engine.written if name == "models-ahead"} >= {3, 4, 6}
    assert [number for name, number in engine.written if name == "models"] == [7]
    assert list_models(desk) == {3: "models-ahead", 4: "models-ahead", 7: "models"}
    summaries = desk.home.locate_study("it").glob("trials/*/artifacts/model_summary.txt")
    assert {int(file.parents[1].name) for file in summaries} == {3, 4, 7}
    assert not (desk.home.locate_study("it") / "models_ahead").exists()


def test_models_that_could_not_be_written_ahead_are_written_at_the_end(desk):
    """It is tried once, and the study does not fail by it."""
    engine = Engine(desk)
    last = desk.run(engine, trials=8, fleet="1")[-1]
    assert (last.state, last.reason) == ("finished", "8 trials")
    assert [job.name for job in engine.other_jobs].count("models-ahead") == 1
    assert list_models(desk) == {3: "models", 4: "models", 7: "models"}


def test_what_a_kill_left_is_used_or_removed(desk):
    """A file of the folder is whole or absent, and its trial's weights do not change any more."""
    engine = Engine(desk, **{"models-ahead": None})
    for event in desk.supervisor(engine, trials=8, fleet="1").run():
        if getattr(event, "number", None) == 6 and type(event).__name__ == "TrialEnded":
            break
    folder = desk.home.locate_study("it") / "models_ahead"
    assert {int(each.name) for each in folder.glob("*")} >= {3, 4}
    (folder / "0001").mkdir()
    again = Engine(desk, **{"models-ahead": None})
    again.models |= engine.models
    last = desk.run(again, trials=8, fleet="1")[-1]
    assert last.state == "finished"
    assert not {3, 4} & {number for _, number in again.written}
    assert list_models(desk) == {3: "models-ahead", 4: "models-ahead", 7: "models"}
    assert not folder.exists()
