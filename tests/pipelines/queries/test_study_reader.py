"""Studies and trials of a home: of a real run, and of a study in each state on the way to its end."""

import shutil

import pytest
from small_studies import STORED_STUDY

from pipelines.queries.study_reader import StudyReader
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.load import load_study
from pipelines.study.stored import serialize_study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import TrialStarted
from tracking.store.database import Store
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue


@pytest.fixture
def search(home, study, store):
    """The study in Optuna, as its supervisor has it."""
    spec = study.spec.search
    return OptunaSearch(
        store.open_optuna_storage(),
        "s",
        SearchSettings(study.space, study.resolve_objective("binary"), spec, epochs=20),
    )


def end(search: OptunaSearch, state: str, value: float | None = None, **more) -> int:
    """Start a trial and end it."""
    number, values = search.ask()
    search.tell(TrialSummary(number, state, value, values, **more))
    return number


def test_there_may_be_no_home(tmp_path):
    """A home without a study is an error, and nothing is created."""
    with pytest.raises(InputError, match=r"there are no studies in .*new: run one first, or name another --home"):
        StudyReader.open(Home(tmp_path / "new", str(tmp_path / "new")))
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_has_not_begun(home):
    """A submitted study is listed with nothing done; it has no best trial."""
    with StudyReader.open(home) as reader:
        (row,) = reader.list_studies()
        assert (row.name, row.state, row.trials, row.budget, row.best) == ("s", "queued", 0, 5, None)
        assert (reader.read_study("s").trials, reader.list_trials("s")) == ({}, ())
        with pytest.raises(InputError, match="no trial of s is complete yet; see: kerastudy trials s"):
            reader.find_best_trial("s")
        with pytest.raises(InputError, match="s has no trial 0; it has none yet"):
            reader.find_complete_trial("s", 0)


def test_an_unknown_study_hints_at_the_nearest(home):
    """Every query of an unknown study names the nearest study, and the home."""
    with StudyReader.open(home) as reader:
        for query in (
            reader.read_study,
            reader.list_trials,
            reader.find_best_trial,
            reader.load_study,
            reader.compute_importances,
            reader.read_end,
        ):
            with pytest.raises(InputError) as refused:
                query("S")
            assert str(refused.value) == f'there is no study "S" in {home.folder}; did you mean "s"? The choices are: s'


def test_a_study_that_has_ended_is_not_awaited(home, search):
    """Where no trial was complete there will be none."""
    end(search, "failed", reason="out of memory")
    with Store.open(home.folder) as store:
        StudyQueue(store).set_state("s", "failed", "1 trial")
    with (
        StudyReader.open(home) as reader,
        pytest.raises(InputError, match=r"is complete, and it has ended \(failed\);"),
    ):
        reader.find_best_trial("s")


def test_trials_in_each_state(home, search):
    """Complete, pruned, failed and running trials differ; only the complete ones can be best or exported."""
    end(search, "failed", reason="out of memory")
    with StudyReader.open(home) as reader, pytest.raises(InputError, match="no trial of s is complete yet"):
        reader.find_best_trial("s")
    end(search, "complete", 0.75, best_epoch=4, seconds=1.5, metrics={"val_accuracy": 0.75, "val_loss": 0.5})
    end(search, "pruned", 0.9, reason="pruned after epoch 2")
    end(search, "complete", 0.5, best_epoch=1)
    search.ask()
    with StudyReader.open(home) as reader:
        trials = reader.list_trials("s")
        assert [trial.state for trial in trials] == ["failed", "complete", "pruned", "complete", "running"]
        assert [trial.values for trial in trials] == [(), (0.75,), (0.9,), (0.5,), ()]
        assert (trials[0].reason, trials[1].best_epoch, trials[1].seconds) == ("out of memory", 4, 1.5)
        assert trials[1].metrics == {"val_accuracy": 0.75, "val_loss": 0.5}
        best = reader.find_best_trial("s")
        assert (best.trial.number, best.metric, best.test) == (1, "val_accuracy", {})
        assert best.model == ""
        assert "tracking.keep_models" in best.no_model
        file = home.locate_trial("s", 1) / "model.keras"
        file.parent.mkdir(parents=True)
        file.touch()
        assert reader.find_best_trial("s").model == str(file)
        assert (reader.find_complete_trial("s", None), reader.find_complete_trial("s", 3)) == (1, 3)
        for number, message in ((0, "trial 0 of s is failed"), (2, "is pruned"), (4, "is running"), (9, "are 0 to 4")):
            with pytest.raises(InputError, match=message):
                reader.find_complete_trial("s", number)


def test_the_direction_decides_which_is_best(home, store, tmp_path):
    """Where less is better, the best trial has the lowest score."""
    (tmp_path / "s.yaml").write_text(STORED_STUDY.replace("study: s", "study: low") + "objective: {metric: val_loss}\n")
    study = load_study(tmp_path / "s.yaml")
    StudyQueue(store).enqueue("low", serialize_study(study), "d", folder=tmp_path)
    shutil.copytree(home.locate_data("s"), home.locate_data("low"))
    search = OptunaSearch(
        store.open_optuna_storage(),
        "low",
        SearchSettings(study.space, study.resolve_objective("binary"), study.spec.search, 9),
    )
    numbers = [end(search, "complete", value, best_epoch=1) for value in (0.5, 0.25, 0.75)]
    with StudyReader.open(home) as reader:
        assert reader.find_best_trial("low").trial.number == numbers[1]
        assert reader.read_study("low").best == 0.25


def test_a_running_study_is_listed_with_its_progress(home, search, store):
    """While a study runs its list entry follows the trials; running ones do not count."""
    queue = StudyQueue(store)
    lease = queue.claim("s", identify_process(), 60)
    queue.set_state("s", "running")
    end(search, "complete", 0.75, best_epoch=1)
    end(search, "failed")
    search.ask()
    with StudyReader.open(home) as reader:
        (row,) = reader.list_studies()
    assert (row.state, row.trials, row.best, row.best_trial) == ("running", 2, 0.75, 0)
    queue.release(lease)
    with StudyReader.open(home) as reader:
        assert reader.list_studies()[0].state == reader.read_study("s").state == "interrupted"
        assert reader.read_study("s").reason == "nobody works on it; kerastudy resume s resumes it"


def test_trials_put_back_do_not_count(home, search, store):
    """A paused study's trials that will be run again are not among those that have ended."""
    StudyQueue(store).set_state("s", "paused")
    StudyQueue(store).set_result("s", winner=0, best_value=0.75, counts={"complete": 2, "running": 2})
    with StudyReader.open(home) as reader:
        assert reader.list_studies()[0].trials == 2


def test_undelivered_records_are_counted(home, store):
    """Records that are not in MLflow yet are counted."""
    Outbox(store).add([TrialStarted("s", 0, {}, 1)])
    with StudyReader.open(home) as reader:
        assert reader.read_study("s").waiting_for_mlflow == 1


def test_lost_data_is_an_error(home):
    """The error about lost data names the missing folder."""
    shutil.rmtree(home.locate_data("s"))
    with (
        StudyReader.open(home) as reader,
        pytest.raises(InputError, match="data is gone: name the --home that s was run"),
    ):
        reader.list_studies()


def test_a_real_run_is_read(finished):
    """Every query finds the results of a run."""
    home = Home(finished.home, str(finished.home))
    with StudyReader.open(home) as reader:
        view, best, trials = reader.read_study("cancer"), reader.find_best_trial("cancer"), reader.list_trials("cancer")
    assert (view.state, view.trials, view.waiting_for_mlflow, view.mlflow_error) == ("finished", {"complete": 3}, 0, "")
    assert view.best == best.trial.values[0] == max(trial.values[0] for trial in trials)
    assert set(best.test) == {"test_loss", "test_accuracy", "test_auc"}
    assert view.seconds > 0
    with Store.open(home.store) as store:
        assert StudyQueue(store).get("cancer").winner == best.trial.number
