"""Deletion of a study as a whole: its runs and versions in MLflow, its files, its rows.

It is stored before the first thing is removed, and each step can be repeated: a deletion that a kill cut off goes on
with `kerastudy delete`, `kerastudy gc`, or within a minute where a service runs. The rows go last: the name is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from pipelines.integrations.oracle_names import make_record_name, read_goal
from pipelines.operations.holders import check_unheld
from pipelines.queries.needs import list_needs, open_tracked_study, shares_records
from pipelines.queries.record_reader import load_record
from pipelines.queries.study_reader import StudyReader
from pipelines.workspace.home import Home
from pipelines.workspace.trees import measure_tree, remove_tree
from search_spaces.errors import ConflictError, KerastudyError
from tracking.store.database import Store
from tracking.store.deletions import Deletions, list_registered_names, release_registered_name
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.study_queue import StudyQueue, StudyRecord
from tracking.testing.failpoints import hit


@dataclass(frozen=True)
class DeletionResult:
    """Result of a deletion.

    Attributes:
        study: the study's name, which is free now.
        freed_bytes: size of the files that were removed from the home's folder of studies.
        versions: registered versions that were removed, in words.
        notes: what is left elsewhere, and why.
    """

    study: str
    freed_bytes: int
    versions: tuple[str, ...]
    notes: tuple[str, ...]


def delete_study(
    home: Home, name: str, *, force: bool = False, may_remove: Callable[[str, str], None] = lambda model, alias: None
) -> DeletionResult:
    """Delete a study with its files, its runs and versions in MLflow, and its rows.

    Args:
        home: the home that holds it.
        name: its name.
        force: whether to delete it although a promoted model or another study needs it; its versions go too.
        may_remove: called with the registered model and the alias of each version that goes, before anything does;
            raises to refuse.

    Raises:
        InputError: if there is no such study.
        ConflictError: if a process works on it, or something needs it; nothing was removed.
        KerastudyError: if MLflow does not answer: nothing was removed, or a deletion that had begun is not complete.
    """
    with StudyReader.open(home):  # an error for a home without studies: Store.open would create a store
        pass
    with Store.open(home.store) as store:
        record = StudyQueue(store).get(name)
        check_unheld(record, "delete")
        leases = LeaseKeeper(store)
        # Held to the end, and not renewed: each step can be done twice, should another process do it too.
        leases.claim(name)
        try:
            if Deletions(store).find(name) is None:
                _store_deletion(home, store, record, leases, may_remove, force=force)
            return _remove(home, store, record)
        finally:
            leases.release()


def continue_deletions(home: Home, store: Store) -> Iterator[DeletionResult | KerastudyError]:
    """Complete the deletions that were cut off; yield the result of each, or why it is not complete."""
    for deletion in Deletions(store).list():
        try:
            yield delete_study(home, deletion.study)
        except KerastudyError as error:
            yield error


def _store_deletion(
    home: Home,
    store: Store,
    record: StudyRecord,
    leases: LeaseKeeper,
    may_remove: Callable[[str, str], None],
    *,
    force: bool,
) -> None:
    """Store that a study is to be deleted, unless something needs it."""
    name = record.name
    tracked = open_tracked_study(home, store, record)
    versions = tracked.list_versions() if tracked else ()
    needs = list_needs(home, store, record, versions)
    if needs and not force:
        raise ConflictError(
            f"{name} is needed, and nothing was deleted: {'; '.join(needs)}. Delete it all the same with --force, "
            "which removes its registered versions with their aliases"
        )
    for version in versions:
        for alias in version.promoted_as:
            may_remove(version.name, alias)
    with store.write() as connection:
        leases.verify(connection)
        Deletions(store).add(name, connection, with_promoted=force)
        reason = f"kerastudy delete {name} completes its deletion"
        StudyQueue(store).set_state(name, "deleting", reason, connection=connection)
    hit("deletion-stored")


def _remove(home: Home, store: Store, record: StudyRecord) -> DeletionResult:
    tracked = open_tracked_study(home, store, record)
    versions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    if tracked is not None:
        found = tracked.list_versions()
        deletion = Deletions(store).find(record.name)
        # An alias that was set since the deletion was stored.
        if (promoted := [str(each) for each in found if each.promoted_as]) and not (
            deletion and deletion.with_promoted
        ):
            message = f"the deletion of {record.name} has stopped: {'; '.join(promoted)} by now"
            raise ConflictError(f"{message}. Move the alias, then kerastudy delete {record.name}")
        versions, notes = tuple(f"{each.name} {each.version}" for each in found), tracked.remove()
    freed = _remove_files(home, record)
    hit("deletion-files-removed")
    _remove_rows(store, record)
    hit("deletion-rows-removed")
    return DeletionResult(record.name, freed, versions, notes)


def _remove_files(home: Home, record: StudyRecord) -> int:
    """Remove a study's folder; return its size."""
    if read_goal(record):
        return 0
    folder = home.locate_study(record.name)
    size = measure_tree(folder)
    remove_tree(folder)
    return size


def _remove_rows(store: Store, record: StudyRecord) -> None:
    from pipelines.search.space_evolution import list_generations  # loads Optuna
    from tracking.store.optuna_tables import delete_studies

    storage = store.open_optuna_storage()
    generations = list_generations(storage, record.name)
    storage.engine.dispose()
    recorded_as = None if shares_records(store, record) else make_record_name(record.name)
    with store.write() as connection:
        for registered in list_registered_names(record.name, connection):
            heir = _find_heir(store, record, registered, connection)
            release_registered_name(registered, heir, connection)
        delete_studies(connection, generations)
        Deletions(store).remove_rows(record.name, recorded_as, connection)


def _find_heir(store: Store, record: StudyRecord, registered: str, connection: Connection) -> str | None:
    """Return the oldest other study that registers under a name."""
    for other in StudyQueue(store).list_mentioning(registered, connection=connection):
        if other.name != record.name and not read_goal(other) and load_record(other).registered_name == registered:
            return other.name
    return None
