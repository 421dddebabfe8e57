"""Check of a study before it is queued: its data is prepared, its smallest and its largest model are built."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from pipelines.data.prepared import DataSummary
from pipelines.data.reading.source_paths import check_source_paths, is_confined
from pipelines.engines.base import Engine, Job, JobFunction, Result
from pipelines.engines.run_job import JobError, run_job
from pipelines.export.jobs import CHECK_FORMATS
from pipelines.models.catalogue import find_family
from pipelines.models.feature_check import note_idle_parameters
from pipelines.models.head_objectives import list_notes as list_head_notes
from pipelines.models.objectives import note_default_objective, note_unweighted_objective
from pipelines.search.samplers import check_sampler
from pipelines.spec.units import format_bytes
from pipelines.study.check_listener import CheckListener
from pipelines.study.model_hyperparameters import describe_user_model, read_requests, write_notes, write_requests
from pipelines.study.prepared_data import prepare_study_data
from pipelines.study.space_summary import summarize_space
from pipelines.study.stored import (
    read_fingerprint,
)
from pipelines.study.study import Study
from pipelines.supervisor.fleet_eligibility import find_ineligible_data, find_ineligible_reason
from pipelines.training.fleet.model_arithmetic import calculate_model
from pipelines.training.jobs import BUILD_MODELS, CHECK_USER_MODEL, TIME_MODELS
from pipelines.training.messages import ModelCheck, TrialJob
from search_spaces.errors import InputError, Problem
from search_spaces.parameters import Float, Int
from search_spaces.space import Space
from search_spaces.suggest import find_largest, find_smallest
from search_spaces.values import Value
from tracking.store.study_queue import StudyRecord

_QUOTED_LINES = 20  # a traceback of TensorFlow's with its last frames
_POINTS, _SPREAD = 2, 5  # chosen; each costs a training, and only where two have failed
_CHECK_TIME = "limits.check_time"
_SMALLEST = "the smallest model of the space"


@dataclass(frozen=True)
class StudyCheck:
    """Results of a study's check: its data, and the smallest and the largest model of its space.

    Attributes:
        notes: what was decided for a user model, and what will fail later.
        space: summary of the hyperparameters that trials have, in lines.
    """

    summary: DataSummary
    smallest: ModelCheck
    largest: ModelCheck
    notes: tuple[str, ...] = ()
    space: tuple[str, ...] = ()


def check_study(
    study: Study,
    folder: Path,
    engine: Engine,
    known: StudyRecord | None = None,
    *,
    timed: bool = False,
    listener: CheckListener | None = None,
) -> StudyCheck:
    """Prepare a study's data, and build the smallest and the largest model of its space.

    Args:
        study: the study.
        folder: the study's folder.
        engine: runs the jobs.
        known: the study of this name in the store, whose data must be the same; None for a new one.
        timed: whether to time an epoch of the two models.
        listener: is called with each step.

    Raises:
        InputError: if the data or the model cannot be used; `folder` is left unchanged.
    """
    listener = listener or CheckListener()
    # The log is quoted before its folder is removed.
    with _place_problems(study), clean_up_on_failure(folder), _quote_log():
        # First, and in this process: a misspelt path is answered at once, without a worker.
        check_source_paths(study.spec.data, study.base)
        check_sampler(study.spec.search.sampler)
        if timed or study.has_user_model or find_ineligible_reason(study):
            # Its models are built, by a backend that takes seconds to load: meanwhile the data is prepared.
            engine.warm(study.spec.resources.backend)
        folder.mkdir(parents=True, exist_ok=True)
        _check_formats(study, folder, engine)
        # A resumed study must search the data that its trials were scored on.
        fingerprint = read_fingerprint(known) if known else None
        expected = (fingerprint.data or None) if fingerprint else None
        summary = prepare_data(study, folder, engine, expected, listener)
        # For its error: only the data's task shows whether the metric fits.
        study.resolve_task_objective(summary.task)
        # Also when all went well, below: the models of a check are of no use to a trial.
        with clean_up_on_failure(folder / "check"):
            listener.describe("trying the smallest and the largest model")
            small, large, notes = (
                _check_user_model(study, folder, engine, listener)
                if study.has_user_model
                else (
                    *_check_models(study, summary, folder, engine, listener, timed=timed),
                    _list_notes(study, summary),
                )
            )
            notes += note_uneven_batches(study)
            write_notes(folder, notes)
            shutil.rmtree(folder / "check", ignore_errors=True)
        _refuse_if_all_are_too_large(study, small)
    requests = read_requests(folder) if study.has_user_model else ()
    return StudyCheck(summary, small, large, notes, summarize_space(study, requests))


def prepare_data(
    study: Study,
    folder: Path,
    engine: Engine,
    expected: str | None = None,
    listener: CheckListener | None = None,
) -> DataSummary:
    """Prepare a study's data in `folder`/data, unless it is there already.

    Args:
        study: the study.
        folder: the folder to prepare it in.
        engine: runs the job.
        expected: the digest that the data must have; None for any.
        listener: is called with each step.

    Raises:
        InputError: if it cannot be used, or has another digest.
        JobError: if its job fails.
    """
    log = folder / "prepare.log"
    return prepare_study_data(study, engine, folder / "data", log, expected=expected, listener=listener)


def note_uneven_batches(study: Study) -> tuple[str, ...]:
    """Return that some trials train on one device, because several cannot share their batches evenly."""
    devices, parameter = study.spec.resources.devices, study.space.parameters.get("batch_size")
    if devices in (1, "all") or parameter is None:
        return ()
    sizes = parameter.spread(_SPREAD) if isinstance(parameter, Int | Float) else parameter.bounds
    uneven = [str(size) for size in sizes if isinstance(size, int) and size % int(devices)]
    if not uneven:
        return ()
    message = f"trials with a batch_size such as {uneven[0]}, no multiple of resources.devices ({devices})"
    return (f"{message}, train on one device",)


def _check_formats(study: Study, folder: Path, engine: Engine) -> None:
    """Make sure that the models can be measured in the formats that the objectives name."""
    objectives = study.spec.objectives or ()
    if any(goal.format is not None for goal in objectives):
        run_job(engine, Job("formats", CHECK_FORMATS, objectives, folder / "check" / "formats.log"))


def _check_models(
    study: Study, summary: DataSummary, folder: Path, engine: Engine, listener: CheckListener, *, timed: bool
) -> tuple[ModelCheck, ModelCheck]:
    if not timed and (found := _calculate_models(study, summary, folder, engine)) is not None:
        return found
    small, large = _check_extremes(study, folder, engine, TIME_MODELS if timed else BUILD_MODELS, listener)
    return small, large


def _calculate_models(
    study: Study, summary: DataSummary, folder: Path, engine: Engine
) -> tuple[ModelCheck, ModelCheck] | None:
    """Return the check of models that train in fleets, which needs no Keras; None where they must be built."""
    if find_ineligible_reason(study) or find_ineligible_data(study, summary):
        return None
    memory = study.spec.limits.memory or engine.worker_memory_bytes
    small, large = (calculate_model(job, summary, memory) for job in _make_extremes(study, folder))
    return None if small is None or large is None else (small, large)


def _list_notes(study: Study, summary: DataSummary) -> tuple[str, ...]:
    """Return what is allowed for a family on this data, but seldom intended."""
    searched = [name for name, each in study.space.parameters.items() if len(each.bounds) > 1]
    notes = note_idle_parameters(find_family(study.spec.model), searched, summary.features)
    if summary.task.heads:
        notes += tuple(list_head_notes(summary.task, study.spec.training, study.spec.score_objective))
        return notes
    if summary.task.is_weighted:
        notes += tuple(note_unweighted_objective(summary.task.kind, study.spec.training, study.spec.score_objective))
    if study.spec.score_objective is None:
        notes += tuple(note_default_objective(summary.task))
    return notes


def _check_user_model(
    study: Study, folder: Path, engine: Engine, listener: CheckListener
) -> tuple[ModelCheck, ModelCheck, tuple[str, ...]]:
    """Check a user model, and store the hyperparameters that its code requests."""
    check = _check_extremes(study, folder, engine, CHECK_USER_MODEL, listener, *_draw_points(study.space))
    write_requests(folder, check.requested)
    return check.smallest, check.largest, check.notes


def _draw_points(space: Space) -> list[dict[str, Value]]:
    """Return a few points between the extremes, which are tried where both extremes fail."""
    random, points = Random(0), list[dict[str, Value]]()
    for _ in range(_POINTS * 10):
        values: dict[str, Value] = {}
        for name, parameter in space.parameters.items():
            if space.is_active(parameter, values):
                choices = parameter.spread(_SPREAD) if isinstance(parameter, Int | Float) else parameter.bounds
                values[name] = random.choice(choices)
        if not space.find_violations(values):
            points.append(values)
    return points[:_POINTS]


def _check_extremes(
    study: Study,
    folder: Path,
    engine: Engine,
    function: JobFunction[tuple[TrialJob, ...], Result],
    listener: CheckListener,
    *others: Mapping[str, Value],
) -> Result:
    small, large = _make_extremes(study, folder)
    jobs = (small, large, *(_make_trial(study, folder, values) for values in others))
    log, limits = folder / "check" / "worker.log", study.spec.limits
    try:
        # Within a trial's limit of memory: a model that does not fit fails here, and not after hours.
        job = Job("check", function, jobs, log, memory_bytes=limits.memory, time_s=limits.check_time)
        job = replace(job, backend=small.backend, devices=small.cpu_devices)
        return run_job(engine, job, listener.keep_alive)
    except JobError as error:
        if error.kind == "time":
            raise InputError(_explain_check_time(study)) from None
        raise _explain_memory(large.values, limits.memory) if error.kind == "memory" else error from None


def _make_extremes(study: Study, folder: Path) -> tuple[TrialJob, TrialJob]:
    """Return the smallest and the largest model of the space as trials."""
    small, large = (_make_trial(study, folder, find(study.space)) for find in (find_smallest, find_largest))
    limits = study.spec.limits
    # The largest one within the ceilings only: a search rejects trials above them, too.
    return small, replace(large, most_parameters=limits.parameters, most_model_bytes=limits.model_memory)


def _refuse_if_all_are_too_large(study: Study, smallest_model: ModelCheck) -> None:
    limits, has, takes = study.spec.limits, smallest_model.parameters, smallest_model.memory_bytes
    problems, advice = [], "raise it, or lower the bounds of the space"
    if limits.parameters is not None and has > limits.parameters:
        message = f"has {has:,} parameters already, got a ceiling of {limits.parameters:,}"
        problems.append(Problem(f"{_SMALLEST} {message}; {advice}", "limits.parameters"))
    if limits.model_memory is not None and takes > limits.model_memory:
        message = f"takes about {format_bytes(takes)} to train, got a ceiling of {format_bytes(limits.model_memory)}"
        problems.append(Problem(f"{_SMALLEST} {message}; {advice}", "limits.model_memory"))
    if problems:
        raise InputError(problems)


def _explain_check_time(study: Study) -> Problem:
    what = f"trying {study.spec.model}" if study.has_user_model else "building the smallest and the largest model"
    limit = "raise the limit as far as this service's operator allows" if is_confined() else "raise the limit"
    advice = "see what its code waits for" if study.has_user_model else "lower the upper bounds of the space"
    return Problem(f"{what} takes longer than {study.spec.limits.check_time:g} s; {limit}, or {advice}", _CHECK_TIME)


def _explain_memory(values: Mapping[str, Value], limit: int | None) -> InputError:
    # Whole numbers are sizes. `type` and no `isinstance`, to which True is a whole number too.
    sizes = ", ".join([f"{name}={value}" for name, value in values.items() if type(value) is int][:8])
    message = f"the largest model of the space ({sizes}) does not fit into memory; lower their upper bounds"
    if limit is not None:
        message += f", or raise limits.memory above {limit / 1e9:g} GB"
    return InputError(Problem(message, "space"))


def _make_trial(study: Study, folder: Path, values: Mapping[str, Value]) -> TrialJob:
    objective = study.user_objective
    return TrialJob(
        study=study.name,
        number=0,
        values=values,
        user_model=describe_user_model(study, ()),
        per_layer=study.per_layer,
        seed=0,
        model=study.spec.model,
        training=study.training,
        data=str(folder / "data"),
        folder=str(folder / "check"),
        metric=objective.metric if objective else "",
        direction=objective.direction if objective else "minimize",
        # No pruning: these trials only train for an epoch, if at all.
        rungs=frozenset(),
        devices=study.spec.resources.devices,
        backend=study.spec.resources.backend,
    )


@contextmanager
def _place_problems(study: Study) -> Iterator[None]:
    """Add the place in the study file to the problems that a worker found."""
    try:
        yield
    except InputError as error:
        raise study.locate_problems(error) from None


@contextmanager
def _quote_log() -> Iterator[None]:
    """Quote the end of a failed job's log in its error: the log is removed with its folder."""
    try:
        yield
    except JobError as error:
        lines = error.log.read_text(errors="replace").splitlines() if error.log.exists() else []
        printed = "".join(f"\n    {line}" for line in lines[-_QUOTED_LINES:])
        error.args = (f"{error.job} failed: {error.reason}{'; it printed:' if printed else ''}{printed}",)
        raise


@contextmanager
def clean_up_on_failure(folder: Path) -> Iterator[None]:
    """Remove a folder that was created inside, if that fails, and the parents created for it that are empty."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    # Also after Ctrl-C.
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another study is in it
            for parent in made[1:]:
                parent.rmdir()
        raise
