"""Submission of a study: its record in the queue, new, resumed or evolved."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.data.prepared import DataSummary, Task
from pipelines.search.space_evolution import evolve_study, is_evolved_for, plan_evolution
from pipelines.search.trial_summaries import find_best
from pipelines.spec.schema import BudgetSpec
from pipelines.study.stored import (
    check_is_open,
    differs_in_space_alone,
    explain_cancelled,
    explain_difference,
    failed_before_start,
    is_same_study,
    read_fingerprint,
    serialize_study,
)
from pipelines.study.study import Study
from search_spaces.errors import ConflictError, InputError
from tracking.store.accounts import OPERATOR
from tracking.store.database import Store
from tracking.store.registered_names import claim_registered_name
from tracking.store.study_queue import StudyQueue, StudyRecord
from tracking.store.tables import studies
from tracking.testing.failpoints import hit


def enqueue(study: Study, summary: DataSummary, store: Store, *, evolve: bool = False) -> StudyRecord:
    """Put a checked study into the queue; the same study again keeps its record.

    Args:
        study: the study.
        summary: its prepared data.
        store: the home's store.
        evolve: whether a study of this name that differs in its space alone is resumed in the new space; see
            `space_evolution`.

    Raises:
        StudyBusyError: if another process works on the study.
        InputError: if there is a study of that name that searches something else, was cancelled, or could not go on in
            its new space.
    """
    queue = StudyQueue(store)
    fingerprint = study.compute_fingerprint().with_data(summary.digest)
    known = queue.find(study.name)
    if known is not None:
        _check_can_go_on(study, known)
    document = serialize_study(study)
    # `continues` also compares the data's digest, which is known here and not in `submit_study`.
    is_other = known is not None and not fingerprint.continues(read_fingerprint(known))
    if known is not None and is_other and not failed_before_start(known):
        if not (evolve and differs_in_space_alone(study, known)):
            raise InputError(explain_difference(study, known))
        check_evolution(study, known, store, summary.task)
    if known is not None and not failed_before_start(known) and (is_other or not is_evolved_for(store, study)):
        # Before the record names the new space: a kill in between leaves an evolution that the next run makes anew.
        evolve_study(store, study, json.loads(known.document)["space"])
    if known is not None:
        queue.amend(study.name, document, fingerprint.format())
    with store.write() as connection:
        if known is None:
            _check_case(study, connection)
        # The owner is not compared here: on a home, all studies are the operator's.
        claim_registered_name(connection, study.registered_name, study.name, OPERATOR)
    queued = queue.enqueue(study.name, document, fingerprint.format(), folder=study.base)
    hit("study-enqueued")
    return queued


def _check_can_go_on(study: Study, known: StudyRecord) -> None:
    """Check that a study is free and not cancelled, also not since its check began, before its record changes."""
    # Another process would go on with the file that it was started with.
    known.check_is_free()
    check_is_open(study, known)
    if known.state == "cancelled":
        raise InputError(explain_cancelled(study))


def check_evolution(study: Study, known: StudyRecord, store: Store, task: Task) -> None:
    """Check that a study can go on in its new space; nothing is changed.

    Raises:
        InputError: if no earlier trial could win there, and no further one would start.
    """
    budget, trials = study.spec.budget, plan_evolution(store, study, json.loads(known.document)["space"]).summaries
    if find_best(trials, study.resolve_task_objective(task)) is not None:
        return
    if len(trials) >= budget.trials:
        key, used = "trials", f"its {len(trials)} trials use up a budget of {budget.trials}"
    elif budget.time is not None and known.elapsed_s >= budget.time:
        key, used = "time", f"its budget of {budget.time:g} s is used up"
    else:
        return
    message = f"no trial of {study.name} fits the changed space, and {used}; raise budget.{key} to go on in it"
    raise InputError(study.document.make_problem(("budget", key), f"{message} (nothing was changed)"))


def submit_study(study: Study, queue: StudyQueue, connection: Connection) -> bool:
    """Put an unchecked study into the queue: its supervisor checks its data and its models first.

    The same study again keeps its record; it is queued if it is paused, or has a larger budget now. Its trials never
    become fewer: of several submissions at once, the largest budget counts. A study that failed before it started is
    replaced.

    Returns:
        Whether there is something to run that was not there before.

    Raises:
        ConflictError: if there is a study of that name that searches something else, runs with other settings, or
            was cancelled.
    """
    document, known = serialize_study(study), queue.find(study.name, connection=connection)
    # Without a digest of the data: that marks a study which its supervisor has still to check.
    unchecked = study.compute_fingerprint().format()
    if known is None:
        _check_case(study, connection)
        queue.enqueue(study.name, document, unchecked, folder=study.base, connection=connection)
        return True
    check_is_open(study, known)
    if not (is_same_study(study, known) or failed_before_start(known)):
        raise ConflictError(explain_difference(study, known))
    if known.state == "cancelled":
        raise ConflictError(explain_cancelled(study))
    document = _keep_budget(document, known)
    if known.state in ("queued", "preparing") and known.document == document:
        return False
    if known.state == "running" or (known.state == "preparing" and known.holder is not None):
        if known.document == document:
            return False
        message = f'study "{study.name}" is running with other settings: pause it first, or wait for its end'
        raise ConflictError(study.document.make_problem(("study",), message))
    # The same file again requests nothing new; a paused study is resumed by it.
    if known.document == document and known.state in ("finished", "failed") and not failed_before_start(known):
        return False
    # A checked study keeps its data's digest: its supervisor compares the data with it.
    digest = unchecked if failed_before_start(known) else known.digest
    queue.amend(study.name, document, digest, connection=connection)
    queue.set_state(study.name, "queued", connection=connection)
    return True


def _check_case(study: Study, connection: Connection) -> None:
    """Check that no other study has a study's name in other letters: some file systems have one folder for both.

    Raises:
        ConflictError: if one has.
    """
    twins = sa.select(studies.c.name).where(sa.func.lower(studies.c.name) == study.name.lower())
    if other := connection.execute(twins.where(studies.c.name != study.name)).scalars().first():
        message = f'there is a study "{other}" already, which differs in capital letters only: choose another name'
        raise ConflictError(study.document.make_problem(("study",), message))


def _keep_budget(document: str, known: StudyRecord) -> str:
    """Return a study's document with at least as many trials as it has in the queue."""
    written = json.loads(document)
    before, now = (_read_trials(each) for each in (json.loads(known.document), written))
    if failed_before_start(known) or before <= now:
        return document
    return json.dumps({**written, "budget": {**(written.get("budget") or {}), "trials": before}})


def _read_trials(written: dict[str, Any]) -> int:
    return BudgetSpec.model_validate(written.get("budget") or {}).trials
