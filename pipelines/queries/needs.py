"""Needs of others for a study: promoted models, and studies that start from it. What is needed is not removed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.integrations.oracle_names import make_queue_name, make_record_name, read_goal
from pipelines.queries.record_reader import load_record
from pipelines.search.earlier_trials import read_earlier_trials
from pipelines.workspace.home import Home
from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.retrainings import Retrainings
from tracking.store.study_queue import ENDED_STATES, StudyQueue, StudyRecord

if TYPE_CHECKING:
    from tracking.mlflow.study_runs import StudyVersion, TrackedStudy


def open_tracked_study(home: Home, store: Store, record: StudyRecord) -> TrackedStudy | None:
    """Return a study in MLflow; None where it has nothing there, or shares its runs with another study.

    Raises:
        KerastudyError: if MLflow does not answer.
    """
    name = make_record_name(record.name)
    outbox = Outbox(store)
    if shares_records(store, record) or not (outbox.list_opened(name) or outbox.read_backlog(name).rows):
        return None
    from tracking.mlflow.study_runs import TrackedStudy  # MLflow takes seconds to import

    experiment = name if read_goal(record) else load_record(record).spec.tracking.experiment or name
    return TrackedStudy(
        urls.resolve_tracking_uri(home.folder, os.environ),
        artifact_root=urls.resolve_artifact_root(home.folder, os.environ),
        namespace=store.identity,
        experiment=experiment,
        study=name,
    )


def shares_records(store: Store, record: StudyRecord) -> bool:
    """Return whether a study file and KerasTuner's own tuner have a study of this name, with one set of runs."""
    name = make_record_name(record.name)
    twin = make_queue_name(name) if record.name == name else name
    return StudyQueue(store).find(twin) is not None


def list_needs(home: Home, store: Store, record: StudyRecord, versions: Sequence[StudyVersion]) -> tuple[str, ...]:
    """Return what needs a study as a whole, in words; nothing where it can be removed.

    Args:
        home: the home.
        store: its store.
        record: the study.
        versions: registered versions of its trials.
    """
    promoted = [str(version) for version in versions if version.promoted_as]
    return (*promoted, *(f"{name} starts from it, and has not begun" for name in _list_followers(home, store, record)))


def _list_followers(home: Home, store: Store, record: StudyRecord) -> Iterator[str]:
    """Yield the studies that will start from a study and have not copied its trials yet."""
    for other in StudyQueue(store).list_mentioning(record.name):
        if other.state in ENDED_STATES or read_goal(other):
            continue
        start_from = (json.loads(other.document).get("search") or {}).get("start_from") or {}
        if start_from.get("study") == record.name:
            copied = read_earlier_trials(home.locate_study(other.name)).study
            if copied != record.name:
                yield other.name


def find_needed_trials(store: Store, record: StudyRecord, versions: Sequence[StudyVersion]) -> frozenset[int]:
    """Return the trials of an ended study whose models are needed: the winner, its ensemble's, the promoted ones."""
    needed = {int(version.trial) for version in versions if version.promoted_as and version.trial.isdecimal()}
    if record.winner is not None:
        needed.add(record.winner)
        for each in Retrainings(store).list(record.name):
            if each.number == record.winner:
                needed.update(each.parts)
    return frozenset(needed)
