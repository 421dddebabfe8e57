"""Archive of studies: hidden from lists and in MLflow, without what their results do not need; readable as before.

The winner and every promoted model can be exported from an archived study. It goes on only after `unarchive`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.integrations.oracle_names import read_goal
from pipelines.operations.holders import check_unheld
from pipelines.queries.leftovers import list_checkpoints, list_models
from pipelines.queries.needs import find_needed_trials, open_tracked_study
from pipelines.queries.study_reader import StudyReader
from pipelines.training.trial_folder import ARTIFACTS, write_model_note
from pipelines.workspace.home import Home
from pipelines.workspace.trees import measure_tree, remove_tree
from search_spaces.errors import ConflictError
from tracking.store.database import Store
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.study_queue import ENDED_STATES, StudyQueue, StudyRecord
from tracking.store.tables import now_ms

_NOTE = "the model was removed when the study was archived"


@dataclass(frozen=True)
class ArchiveResult:
    """Result of `archive_study` or `unarchive_study`.

    Attributes:
        is_archived: whether the study is archived now.
        freed_bytes: size of the checkpoints and models that were removed.
    """

    study: str
    is_archived: bool
    freed_bytes: int = 0


def archive_study(home: Home, name: str) -> ArchiveResult:
    """Archive a study that has ended; one that is archived already is archived to the end.

    Raises:
        InputError: if there is no such study.
        ConflictError: if it has not ended.
        KerastudyError: if MLflow does not answer; call it again.
    """
    with _hold(home, name, "archive") as (store, record):
        if record.state not in ENDED_STATES:
            message = (
                f"{name} is {record.state}: only a study that has ended is archived; kerastudy cancel {name} first"
            )
            raise ConflictError(message)
        tracked = open_tracked_study(home, store, record)
        needed = find_needed_trials(store, record, tracked.list_versions() if tracked else ())
        at_ms = record.archived_ms or now_ms()
        # Before anything is removed: a study that lacks its checkpoints must not go on.
        StudyQueue(store).set_archived(name, at_ms)
        if tracked is not None:
            when = datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
            tracked.archive(f"since {when}; kerastudy unarchive {name} shows it again")
            tracked.remove_models(needed)
        return ArchiveResult(name, True, 0 if read_goal(record) else _remove_unneeded(home, name, needed))


def unarchive_study(home: Home, name: str) -> ArchiveResult:
    """Show an archived study again; what was removed stays removed.

    Raises:
        InputError: if there is no such study.
        KerastudyError: if MLflow does not answer.
    """
    with _hold(home, name, "unarchive") as (store, record):
        if record.archived_ms is not None:
            if (tracked := open_tracked_study(home, store, record)) is not None:
                tracked.unarchive()
            StudyQueue(store).set_archived(name, None)
    return ArchiveResult(name, False)


@contextmanager
def _hold(home: Home, name: str, verb: str) -> Iterator[tuple[Store, StudyRecord]]:
    with StudyReader.open(home):  # an error for a home without studies: Store.open would create a store
        pass
    with Store.open(home.store) as store:
        check_unheld(StudyQueue(store).get(name), verb)
        leases = LeaseKeeper(store)
        leases.claim(name)
        try:
            yield store, StudyQueue(store).get(name)
        finally:
            leases.release()


def _remove_unneeded(home: Home, name: str, needed: frozenset[int]) -> int:
    freed = 0
    models = [*list_models(home, name, needed)]
    for path in models:
        if (path.parent / ARTIFACTS).is_dir():
            write_model_note(path.parent, _NOTE)
    for path in (*list_checkpoints(home, name), *models):
        freed += measure_tree(path)
        remove_tree(path)
    return freed
