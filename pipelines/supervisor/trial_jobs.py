"""Payloads of training jobs: one trial, and one fleet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pipelines.study.context import StudyContext
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.messages import FleetJob
from pipelines.training.messages import TrialJob
from search_spaces.values import Value


def make_trial_job(
    context: StudyContext, number: int, values: Mapping[str, Value], *, rungs: frozenset[int] = frozenset()
) -> TrialJob:
    """Return the payload of a trial's training.

    Args:
        context: the trial's study.
        number: its number.
        values: active hyperparameters that it starts with.
        rungs: epochs after which it requests whether it is pruned.
    """
    spec, home, objective = context.spec, context.home, context.objective
    return TrialJob(
        study=spec.study,
        number=number,
        values=values,
        per_layer=context.study.per_layer,
        seed=compute_trial_seed(spec.search.seed, number),
        model=spec.model,
        training=context.training,
        data=str(home.locate_data(spec.study)),
        folder=str(home.locate_trial(spec.study, number)),
        metric=objective.metric,
        direction=objective.direction,
        rungs=rungs,
        most_parameters=spec.limits.parameters,
        most_model_bytes=spec.limits.model_memory,
        user_model=context.user_model,
        devices=spec.resources.devices,
        backend=spec.resources.backend,
    )


def make_fleet_job(context: StudyContext, data: Path, envelope: Envelope, slots: int) -> FleetJob:
    """Return the payload of a fleet; `data` is the folder of the prepared data."""
    return FleetJob(
        envelope=envelope,
        slots=slots,
        data=str(data),
        training=context.training,
        metric=context.objective.metric,
        direction=context.objective.direction,
        per_layer=context.study.per_layer,
        trial_s=context.spec.limits.trial_time,
    )


def compute_trial_seed(seed: int, number: int) -> int:
    """Return the seed of a trial: it depends only on the study's seed and the trial's number."""
    # A hash, so that neighbours have unrelated seeds; Keras accepts seeds of 32 bits.
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")
