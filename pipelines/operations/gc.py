"""Removal of what the rules of a home let go: files of ended studies, whole studies, uploads, orphans, programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.operations.delete import continue_deletions, delete_study
from pipelines.operations.uploads import remove_upload
from pipelines.queries.garbage import Garbage, GarbageFinder
from pipelines.queries.study_reader import StudyReader
from pipelines.spec.home_rules import RetentionSpec
from pipelines.workspace.home import Home
from pipelines.workspace.trees import remove_tree
from search_spaces.errors import KerastudyError
from tracking.store.accounts import OPERATOR
from tracking.store.database import Store
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.study_queue import StudyQueue

_OF_A_STUDY = ("checkpoints", "models", "logs")


@dataclass(frozen=True)
class GcResult:
    """Result of `collect_garbage`.

    Attributes:
        removed: what was removed, or would be.
        kept: what is old enough and needed.
        failures: what could not be removed, and why.
        is_dry_run: whether nothing was removed.
    """

    removed: tuple[Garbage, ...]
    kept: tuple[Garbage, ...]
    failures: tuple[str, ...]
    is_dry_run: bool

    @property
    def freed_bytes(self) -> int:
        """Size of all that was removed, or would be."""
        return sum(each.bytes for each in self.removed)


def collect_garbage(home: Home, rules: RetentionSpec, *, dry_run: bool = False) -> GcResult:
    """Remove what the rules of a home let go, and complete the deletions that were cut off.

    Args:
        home: the home.
        rules: the rules.
        dry_run: whether to remove nothing.

    Raises:
        InputError: if there is no store.
    """
    with StudyReader.open(home):  # an error for a home without studies: Store.open would create a store
        pass
    with Store.open(home.store) as store:
        failures = [] if dry_run else [str(end) for end in continue_deletions(home, store) if _is_failure(end)]
        finder = GarbageFinder(home, store, rules)
        found = [*finder.find()]
        if dry_run:
            return GcResult(tuple(found), tuple(finder.kept), (), True)
        removed, further = _remove_all(home, store, found)
        return GcResult(tuple(removed), tuple(finder.kept), (*failures, *further), False)


def _is_failure(end: object) -> bool:
    return isinstance(end, KerastudyError)


def _remove_all(home: Home, store: Store, found: Sequence[Garbage]) -> tuple[list[Garbage], list[str]]:
    removed, failures = [], []
    for each in found:
        try:
            _remove(home, store, each)
        except (KerastudyError, OSError) as error:
            failures.append(f"{each.what}: {error}")
        else:
            removed.append(each)
    return removed, failures


def _remove(home: Home, store: Store, each: Garbage) -> None:
    if each.kind == "study":
        # It looks again whether something needs the study.
        delete_study(home, each.what)
        return
    leases = LeaseKeeper(store)
    try:
        if each.kind in _OF_A_STUDY:
            # So that nobody resumes the study meanwhile.
            leases.claim(each.what)
            if StudyQueue(store).get(each.what).state not in ("finished", "failed", "cancelled"):
                return
        for path in each.paths:
            if each.kind == "upload" and not path.name.startswith("."):
                # In the transaction in which a submission would name it.
                remove_upload(home, store, path.name, OPERATOR)
            else:
                remove_tree(path)
    finally:
        leases.release()
