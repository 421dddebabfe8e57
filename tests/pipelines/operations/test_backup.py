"""Backup of a home, its check, and its restoration elsewhere: the study goes on and nothing is trained twice."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import mlflow
import pytest
from desk import Desk, scores
from fake_engine import FakeEngine

from pipelines.operations.backup import MANIFEST, back_up
from pipelines.operations.restore import restore_backup
from pipelines.operations.verify_backup import verify_backup
from pipelines.queries.study_reader import StudyReader
from pipelines.supervisor.events import TrialEnded
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, KerastudyError
from tracking.mlflow import urls
from tracking.store.database import Store
from tracking.store.processes import identify_process


def home_at(folder, store=""):
    return Home(folder, store or str(folder))


@pytest.fixture
def interrupted(tracked_desk, tracked_home, tmp_path):
    """A study of four trials, backed up in the middle while it runs, that then went on to its end; the backup."""
    made = []
    supervisor = tracked_desk.supervisor(FakeEngine(scores(3.0, 2.0, 4.0, 5.0)), trials=4)
    for event in supervisor.run():
        if isinstance(event, TrialEnded) and event.number == 1 and not made:
            made.append(back_up(tracked_home, tmp_path / "backup"))
    assert tracked_desk.queue.get("it").state == "finished"
    return tmp_path / "backup"


def test_a_backup_under_way_goes_on_elsewhere(interrupted, tracked_desk, tracked_home, tmp_path):
    """Restored to another folder, the study trains the trials that the backup lacks, and no other."""
    checked = verify_backup(interrupted)
    assert (checked.studies, checked.problems) == (1, ())
    tracked_desk.store.close()
    shutil.rmtree(tracked_home.folder)
    home = home_at(tmp_path / "elsewhere" / "home")
    restored = restore_backup(home, interrupted)
    assert (restored.studies, restored.notes) == (1, ())
    with Store.open(home.store) as store:
        desk = Desk(store, home)
        assert desk.queue.get("it").owner is None
        had = {trial.number for trial in desk.trials() if trial.state == "complete"}
        assert had == {0, 1}
        engine = FakeEngine(scores(3.0, 2.0, 4.0, 5.0))
        assert desk.run(engine, trials=4)[-1].state == "finished"
        assert sorted(job.number for job in engine.jobs) == [2, 3]
        assert [trial.value for trial in desk.trials()] == [3.0, 2.0, 4.0, 5.0]
        assert not [record for record in desk.records() if str(tracked_home.folder) in repr(record)]


def test_a_delivered_study_is_whole_elsewhere(tracked_desk, tracked_home, tmp_path):
    """MLflow's runs, models and files are found at the new place, and the exported model too."""
    tracked_desk.run(FakeEngine(scores(3.0, 2.0)), trials=2)
    tracked_desk.deliver()
    target = tmp_path / "backup.tar.gz"
    done = back_up(tracked_home, target)
    assert (done.studies, done.notes) == (1, ())
    tracked_desk.store.close()
    shutil.rmtree(tracked_home.folder)
    home = home_at(tmp_path / "new")
    restore_backup(home, target)
    uri = urls.make_home_tracking_uri(home.folder)
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("it")
    assert experiment.artifact_location.startswith(home.folder.as_uri())
    runs = client.search_runs([experiment.experiment_id])
    assert all(client.list_artifacts(run.info.run_id) for run in runs)
    version = client.get_model_version_by_alias("it", "champion")
    # Not listed by the client: it remembers where a model of this id was.
    location = client.get_logged_model(version.source.rpartition("/")[2]).artifact_location
    assert Path(location.removeprefix("file://"), "MLmodel").is_relative_to(home.folder)
    assert Path(location.removeprefix("file://"), "MLmodel").exists()
    with StudyReader.open(home) as reader:
        assert reader.find_best_trial("it").model.startswith(str(home.folder))


def test_trials_that_began_later_stay_out(interrupted):
    """A folder of a trial that the store's copy does not have would be taken for that of another trial."""
    names = {file["path"] for file in json.loads((interrupted / MANIFEST).read_text())["files"]}
    assert {name.split("/")[3] for name in names if "/trials/" in name} <= {"0000", "0001", "0002"}


@pytest.mark.parametrize("name", ["b", "b.tar"])
def test_damage_is_found_and_not_restored(name, tracked_desk, tracked_home, tmp_path):
    """A changed, a missing and a cut file are named, and nothing is restored."""
    tracked_desk.run(FakeEngine(scores(3.0)), trials=1)
    target = tmp_path / name
    back_up(tracked_home, target)
    if target.is_dir():
        (target / "studies/it/trials/0000/result.json").write_text("{}")
        (target / "studies/it/data/split.csv").unlink()
        problems = verify_backup(target).problems
        assert [problem.partition(" ")[2] for problem in problems] == [
            "is missing",
            "is damaged: its checksum is another one",
        ]
    else:
        target.write_bytes(target.read_bytes()[:20_000])
        with pytest.raises(InputError, match="damaged"):
            verify_backup(target)
    with pytest.raises(InputError, match="damaged"):
        restore_backup(home_at(tmp_path / "new"), target)
    assert not (tmp_path / "new").exists()


def test_only_an_empty_home_is_restored(tracked_desk, tracked_home, tmp_path):
    """A home that has something is left as it is; so is a backup of the same name."""
    tracked_desk.run(FakeEngine(scores(3.0)), trials=1)
    back_up(tracked_home, tmp_path / "backup")
    with pytest.raises(InputError, match="is not empty"):
        restore_backup(tracked_home, tmp_path / "backup")
    with pytest.raises(InputError, match="exists already"):
        back_up(tracked_home, tmp_path / "backup")
    with pytest.raises(InputError, match=r"no readable manifest.json"):
        verify_backup(tracked_home.folder)
    (tmp_path / "empty").mkdir()
    restore_backup(home_at(tmp_path / "empty"), tmp_path / "backup")


def test_a_restored_study_is_free(tracked_desk, tracked_home, tmp_path):
    """A process that works on the original does not hold the copy."""
    tracked_desk.run(FakeEngine(scores(3.0)), trials=1)
    tracked_desk.queue.claim("it", identify_process(), 60)
    back_up(tracked_home, tmp_path / "backup")
    home = home_at(tmp_path / "copy")
    restore_backup(home, tmp_path / "backup")
    with Store.open(home.store) as store:
        Desk(store, home).queue.claim("it", identify_process(), 60)


def test_a_store_on_postgresql_is_backed_up(postgresql, tracked_home, tmp_path, monkeypatch):
    """A home whose store is on PostgreSQL becomes a file, and from it a store on either database."""
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    home = Home(tracked_home.folder, postgresql)
    with Store.open(postgresql) as store:
        Desk(store, home).run(FakeEngine(scores(3.0, 2.0)), trials=2)
        back_up(home, tmp_path / "backup.tar")
        identity = store.identity
    assert verify_backup(tmp_path / "backup.tar").trials == 2
    as_file = home_at(tmp_path / "file")
    restore_backup(as_file, tmp_path / "backup.tar")
    with pytest.raises(ConflictError, match="expected an empty database"):
        restore_backup(home_at(tmp_path / "full", postgresql), tmp_path / "backup.tar")
    assert not (tmp_path / "full").exists()
    with Store.open(as_file.store) as store:
        assert store.identity == identity
        desk = Desk(store, as_file)
        assert [trial.value for trial in desk.trials()] == [3.0, 2.0]


def test_a_store_is_restored_to_postgresql(postgresql, tracked_desk, tracked_home, tmp_path):
    """Rows that follow get numbers of their own: the study goes on there."""
    tracked_desk.run(FakeEngine(scores(3.0, 2.0)), trials=2)
    back_up(tracked_home, tmp_path / "backup")
    home = home_at(tmp_path / "server", postgresql)
    restore_backup(home, tmp_path / "backup")
    assert not (home.folder / "kerastudy.db").exists()
    with Store.open(postgresql) as store:
        desk = Desk(store, home)
        engine = FakeEngine(scores(3.0, 2.0, 1.0))
        assert desk.run(engine, trials=3)[-1].winner == 2
        assert [job.number for job in engine.jobs] == [2]


def test_a_backup_that_finds_no_room_leaves_nothing(tracked_desk, tracked_home, tmp_path):
    """The message names what was not written; a limit on the size of files stands for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    target = tmp_path / "backups" / "monday.tar.gz"
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(KerastudyError, match=r"monday\.tar\.gz was not written: "):
            back_up(tracked_home, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [*target.parent.iterdir()]


def test_of_two_restorations_one_is_kept(tracked_desk, tracked_home, tmp_path, monkeypatch):
    """The one that comes second changes nothing of the home, and leaves nothing beside it."""
    target, home = tmp_path / "backup.tar.gz", home_at(tmp_path / "in" / "new")
    back_up(tracked_home, target)

    def fill(point):
        if point == "restoration-home-adapted":
            home.folder.mkdir()
            (home.folder / "theirs").touch()

    monkeypatch.setattr("pipelines.operations.restore.hit", fill)
    with pytest.raises(ConflictError, match="was filled by another process meanwhile"):
        restore_backup(home, target)
    left = [file.relative_to(home.folder.parent).as_posix() for file in home.folder.parent.rglob("*")]
    assert left == ["new", "new/theirs"]
