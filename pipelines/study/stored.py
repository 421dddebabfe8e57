"""Studies as the queue stores them: the file as JSON with its space in full, and the fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.load import check_document
from pipelines.study.study import Study
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, Place, Problem
from search_spaces.yaml_document import Document, KeyPath
from search_spaces.yaml_reader import parse_document
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue, StudyRecord


def serialize_study(study: Study) -> str:
    """Return the study file as the queue stores it: the space in full, whatever it extends."""
    return json.dumps({**study.document.data, "space": study.space.to_dict()})


def load_stored_study(record: StudyRecord) -> Study:
    """Return the study that a record of the queue holds; the file of a user model need not exist any more."""
    return _load(record.name, record.document, record.folder)


def read_fingerprint(record: StudyRecord) -> StudyFingerprint | None:
    """Return the fingerprint in a record of the queue; None for a study of KerasTuner's own tuner."""
    return StudyFingerprint.parse(record.digest)


def is_unchecked(record: StudyRecord) -> bool:
    """Return whether a study waits in the queue with its data and models unchecked."""
    fingerprint = read_fingerprint(record)
    return fingerprint is not None and not fingerprint.data


def failed_before_start(record: StudyRecord) -> bool:
    """Return whether a study failed before its first trial: its data or its models could not be used."""
    return is_unchecked(record) and record.state == "failed"


def differs_in_space_alone(study: Study, record: StudyRecord) -> bool:
    """Return whether a study has the definition of a stored one, whatever its space."""
    return study.compute_fingerprint().has_same_definition(read_fingerprint(record))


def is_same_study(study: Study, record: StudyRecord) -> bool:
    """Return whether a study has the definition and the space of a stored one."""
    return study.compute_fingerprint().is_same_study(read_fingerprint(record))


def find_known_study(study: Study, home: Home, *, evolve: bool = False) -> StudyRecord | None:
    """Return the stored study of the same name, None where a home has none; nothing is created.

    Args:
        study: the study file.
        home: where studies are stored.
        evolve: whether the study file may have another space.

    Raises:
        InputError: if the stored study is another one, or was cancelled.
    """
    if not home.is_initialized:
        return None
    with Store.open(home.store) as store:
        known = StudyQueue(store).find(study.name)
    if known is not None:
        check_is_open(study, known)
    if known is not None and known.state == "cancelled":
        raise InputError(explain_cancelled(study))
    if known is None or failed_before_start(known) or is_same_study(study, known):
        return known
    if not (evolve and differs_in_space_alone(study, known)):
        raise InputError(explain_difference(study, known))
    return known


def check_is_open(study: Study, record: StudyRecord) -> None:
    """Check that a study of this name may be submitted again: neither archived, nor being deleted, nor moved in MLflow.

    Raises:
        ConflictError: if it is.
    """
    name = record.name
    if record.state == "deleting":
        message = f'study "{name}" is being deleted: kerastudy delete {name} completes that, and the name is free'
        raise ConflictError(study.document.make_problem(("study",), message))
    if record.archived_ms is not None:
        message = f'study "{name}" is archived: kerastudy unarchive {name}, or give this one another name'
        raise ConflictError(study.document.make_problem(("study",), message))
    _check_experiment(study, record)


def _check_experiment(study: Study, record: StudyRecord) -> None:
    """Check that a study that has begun stays in its experiment: its runs in MLflow do not move."""
    if is_unchecked(record) or read_fingerprint(record) is None:
        return
    before = (_read(record.name, record.document).get("tracking") or {}).get("experiment") or record.name
    now = study.spec.tracking.experiment or study.name
    if now != before:
        message = f'study "{record.name}" has its runs in the experiment "{before}" of MLflow, got "{now}"'
        message += "; leave it as it was, or give this study another name"
        raise ConflictError(study.document.make_problem(("tracking", "experiment"), message))


def explain_cancelled(study: Study) -> Problem:
    """Return the problem of a study whose name a cancelled one has."""
    return study.document.make_problem(("study",), f'study "{study.name}" was cancelled: give this one another name')


def explain_difference(study: Study, known: StudyRecord) -> Problem:
    """Return the problem of a study whose name another one has, with the parts that differ."""
    before, now = json.loads(known.document), {**study.document.data, "space": study.space.to_dict()}
    parts = ("data", "model", "space", "objective", "training")
    changed = [part for part in parts if before.get(part) != now.get(part)]
    code = f"and the code in {study.spec.model.partition(':')[0]} has changed since"
    other = code if study.has_user_model else "and its file meant something else"
    what = f"with another {', '.join(changed)}" if changed else other
    message = f'study "{study.name}" exists already {what}; give this one another name, or choose another --home'
    if differs_in_space_alone(study, known):
        message += "; or go on in the new space with --evolve: earlier trials that still fit are kept"
    return study.document.make_problem(("study",), message)


# A service reads its studies again and again, 500 for a page of a list at most. The text is part of the key, so that
# nothing can be stale.
@lru_cache(maxsize=512)
def _load(name: str, document: str, folder: str) -> Study:
    keys, values = (_ReadPlaces(document, name, which) for which in ("key_places", "value_places"))
    return check_document(Document(_read(name, document), name, keys, values), Path(folder))


def _read(name: str, document: str) -> Any:
    """Return the values of a stored study, which is JSON; one that was put there by hand may be YAML."""
    try:
        # YAML's parser takes nine times as long, and a study that it parsed holds more memory.
        return json.loads(document)
    except json.JSONDecodeError:
        return parse_document(document, name).data


class _ReadPlaces(Mapping[KeyPath, Place]):
    """Places of a stored study's keys or values, read again when an error needs them.

    Two thirds of the memory of a study would be places, which few studies ever need once they are stored.
    """

    def __init__(self, document: str, name: str, which: Literal["key_places", "value_places"]) -> None:
        self._document = document
        self._name = name
        self._which = which

    def _read(self) -> Mapping[KeyPath, Place]:
        found: Mapping[KeyPath, Place] = getattr(parse_document(self._document, self._name), self._which)
        return found

    def __getitem__(self, path: KeyPath) -> Place:
        return self._read()[path]

    def __iter__(self) -> Iterator[KeyPath]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())
