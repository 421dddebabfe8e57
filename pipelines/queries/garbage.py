"""Garbage of a home: what its rules let go now, and what stays although it is old, each with the reason."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.integrations.oracle_names import read_goal
from pipelines.queries.leftovers import list_checkpoints, list_logs, list_models
from pipelines.queries.needs import find_needed_trials, list_needs, open_tracked_study
from pipelines.spec.home_rules import RetentionSpec
from pipelines.workspace.home import Home
from pipelines.workspace.trees import measure_tree
from search_spaces.errors import KerastudyError
from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES, StudyQueue, StudyRecord

if TYPE_CHECKING:
    from tracking.mlflow.study_runs import StudyVersion

Kind = Literal["checkpoints", "models", "logs", "study", "upload", "orphan", "programs"]

_DAY_S = 86_400.0
# The name that an upload has in a study's file: a part of its digest, with its suffix.
_UPLOAD_NAME = re.compile(r"[0-9a-f]{32}\.[A-Za-z0-9.]{1,20}")


@dataclass(frozen=True)
class Garbage:
    """Something that is removed, or kept although it is old enough.

    Attributes:
        what: the study, file or folder.
        bytes: size of its files.
        reason: why it goes, or why it stays.
        paths: its files and folders; none for a study, which is deleted as a whole.
    """

    kind: Kind
    what: str
    bytes: int
    reason: str
    paths: tuple[Path, ...] = field(default=(), repr=False)


class GarbageFinder:
    """Search of one home for what its rules remove.

    Args:
        home: the home.
        store: its store.
        rules: the rules.

    Attributes:
        kept: what is old enough and needed, after the search.
    """

    def __init__(self, home: Home, store: Store, rules: RetentionSpec) -> None:
        self._home = home
        self._store = store
        self._rules = rules
        self._now_s = time.time()
        self.kept: list[Garbage] = []

    def find(self) -> Iterator[Garbage]:
        """Yield what the rules remove."""
        records = StudyQueue(self._store).list()
        for record in records:
            if not read_goal(record) and record.state != "deleting":
                yield from self._search_study(record)
        yield from self._find_uploads(records)
        yield from self._find_orphans({record.name for record in records})
        yield from self._find_programs()

    def _search_study(self, record: StudyRecord) -> Iterator[Garbage]:
        age_s = self._now_s - record.since_ms / 1000
        study = _AgedStudy(self._home, self._store, record)
        rules = self._rules
        if record.state not in ENDED_STATES:
            self._keep_unended(study, age_s)
            return
        if rules.studies is not None and age_s >= rules.studies:
            reason = f"ended {_format_age(age_s)} ago"
            size = measure_tree(self._home.locate_study(record.name))
            if not study.needs:
                yield Garbage("study", record.name, size, reason)
                return
            self.kept.append(Garbage("study", record.name, size, "; ".join(study.needs)))
        is_archived = record.archived_ms is not None
        reason = "archived" if is_archived else f"its study ended {_format_age(age_s)} ago"
        if is_archived or _is_due(rules.checkpoints, age_s):
            yield from _make("checkpoints", record.name, reason, [*list_checkpoints(self._home, record.name)])
        if is_archived or _is_due(rules.models, age_s):
            yield from self._find_models(study, reason)
        if _is_due(rules.logs, age_s):
            reason = f"its study ended {_format_age(age_s)} ago"
            yield from _make("logs", record.name, reason, [*list_logs(self._home, record.name)])

    def _find_models(self, study: _AgedStudy, reason: str) -> Iterator[Garbage]:
        everything = [*list_models(self._home, study.name, frozenset())]
        if not everything:
            return
        if study.unknown:
            self.kept += _make("models", study.name, study.unknown, everything)
            return
        needed = find_needed_trials(self._store, study.record, study.versions)
        unneeded = [*list_models(self._home, study.name, needed)]
        yield from _make("models", study.name, reason, unneeded)
        why = "of the winner, its ensemble, or promoted"
        self.kept += _make("models", study.name, why, [path for path in everything if path not in unneeded])

    def _keep_unended(self, study: _AgedStudy, age_s: float) -> None:
        """Note what is old enough of a study that may go on."""
        if _is_due(self._rules.checkpoints, age_s):
            why = f"the study is {study.record.state}, and goes on from them"
            self.kept += _make("checkpoints", study.name, why, [*list_checkpoints(self._home, study.name)])

    def _find_uploads(self, records: Sequence[StudyRecord]) -> Iterator[Garbage]:
        named = {name for record in records for name in _UPLOAD_NAME.findall(record.document)}
        for file in _list_folder(self._home.uploads):
            age_s = self._measure_age_s(file)
            if file.name in named:
                if age_s >= self._rules.uploads:
                    self.kept += _make("upload", file.name, "a study names it", [file])
            elif age_s >= (_DAY_S if file.name.startswith(".") else self._rules.uploads):
                yield from _make("upload", file.name, f"no study names it, for {_format_age(age_s)}", [file])

    def _find_orphans(self, known: set[str]) -> Iterator[Garbage]:
        for folder in _list_folder(self._home.folder / "studies"):
            # A study that is being prepared has a folder before it has a row: something in it is new.
            if folder.name not in known and (age_s := self._measure_age_s(folder)) >= self._rules.orphans:
                reason = f"the store has no such study; unchanged for {_format_age(age_s)}"
                yield from _make("orphan", folder.name, reason, [folder])

    def _find_programs(self) -> Iterator[Garbage]:
        files = sorted(_list_files(self._home.programs), key=lambda each: each[1])
        too_much = sum(size for _, _, size in files) - self._rules.programs
        paths = []
        for path, _, size in files:
            if too_much <= 0:
                break
            paths.append(path)
            too_much -= size
        yield from _make("programs", "compiled programs", "the oldest, beyond retention.programs", paths)

    def _measure_age_s(self, path: Path) -> float:
        """Return the seconds since the latest change of a file, or of anything in a folder."""
        try:
            latest = path.lstat().st_mtime
        except FileNotFoundError:
            return 0.0
        return self._now_s - max([latest, *(changed for _, changed, _ in _list_files(path))])


class _AgedStudy:
    """Facts of a study that need MLflow, read when they are first needed."""

    def __init__(self, home: Home, store: Store, record: StudyRecord) -> None:
        self._home = home
        self._store = store
        self.record = record
        self.name = record.name
        self.unknown = ""

    @cached_property
    def versions(self) -> tuple[StudyVersion, ...]:
        """Registered versions of its trials; `unknown` is the reason where MLflow does not answer."""
        try:
            tracked = open_tracked_study(self._home, self._store, self.record)
            return tracked.list_versions() if tracked else ()
        except KerastudyError as error:
            self.unknown = f"whether they are promoted is not known: {error}"
            return ()

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """What needs the study, in words; also why that is not known."""
        needs = list_needs(self._home, self._store, self.record, self.versions)
        return (self.unknown,) if self.unknown else needs


def _is_due(limit_s: float | None, age_s: float) -> bool:
    return limit_s is not None and age_s >= limit_s


def _make(kind: Kind, what: str, reason: str, paths: Sequence[Path]) -> list[Garbage]:
    if not paths:
        return []
    return [Garbage(kind, what, sum(map(measure_tree, paths)), reason, tuple(paths))]


def _list_folder(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _list_files(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Yield the files in a folder with the time of their latest use and their size."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if path.is_file() and not path.is_symlink():
            yield path, max(found.st_mtime, found.st_atime), found.st_size


def _format_age(age_s: float) -> str:
    return f"{age_s / _DAY_S:.0f} days" if age_s >= 2 * _DAY_S else f"{age_s / 3600:.0f} hours"
