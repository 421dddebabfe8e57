"""Objectives that are measured on the deployed model: size and latency of its file; the worker's side.

The measurements are part of the trial's result, so a trial that is killed before them is not complete.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipelines.engines.base import Channel
from pipelines.export.held_out import load_held_out
from pipelines.export.parity import measure_latency, measure_size
from pipelines.export.registry import FORMATS, check_formats
from pipelines.export.source_model import load_source_model
from pipelines.study.objective import Goal
from pipelines.training.errors import TrialError
from pipelines.training.messages import PastTrial, TrialJob, TrialOutcome
from pipelines.training.trial import train_and_measure_trial
from pipelines.training.trial_folder import explain_missing_model, has_model
from pipelines.training.user_model.classes import register_user_classes


def train_and_measure(job: tuple[TrialJob, tuple[Goal, ...]], channel: Channel) -> TrialOutcome:
    """Train a trial and measure its model for the objectives given with it.

    Raises:
        Exception: whatever a format raises that cannot hold the model.
    """
    trial, goals = job
    return train_and_measure_trial(trial, channel, lambda trained: measure_deployment(trained, goals, channel))


def measure_deployment(trained: TrialJob, goals: tuple[Goal, ...], channel: Channel) -> Mapping[str, float]:
    """Return the goals' values by their names: megabytes (10^6 bytes) and the median milliseconds for one row.

    Raises:
        TrialError: if there is no model on raw columns.
        Exception: whatever a format raises that cannot hold the model.
    """
    # Again, in the worker: a resumed study may run where the extras are not installed.
    check_formats([goal.format for goal in goals])
    folder = Path(trained.folder)
    if not has_model(folder):
        raise TrialError(f"there is no model to measure: {explain_missing_model(folder)}")
    past = PastTrial(trained.folder, trained.data)
    one_row = load_held_out(past, 1)
    values: dict[str, float] = {}
    with register_user_classes(folder), tempfile.TemporaryDirectory() as scratch:
        deployed = load_source_model(past)
        for name in dict.fromkeys(goal.format for goal in goals):
            target = Path(scratch) / name
            target.mkdir()
            written = FORMATS[name].write(deployed, target)
            channel.beat()
            wanted = {goal.metric: goal.name for goal in goals if goal.format == name}
            if "size_mb" in wanted:
                values[wanted["size_mb"]] = measure_size(target, written.file, written.preprocessing_file) / 1e6
            if "latency_ms" in wanted:
                predict = FORMATS[name].load(target, written)
                # One row: the case of a request to a deployed model; batches would hide the overhead of a call.
                [latency] = measure_latency(predict, one_row, channel.beat, batches=(1,))
                values[wanted["latency_ms"]] = latency.median_ms
    return values
