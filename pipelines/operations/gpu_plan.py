"""Plan of a study's trials on the GPUs of this machine: fleets first, else as many trials as memory has room for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipelines.engines.local_engine import LocalEngine
from pipelines.operations.check import StudyCheck
from pipelines.study.study import Study
from pipelines.supervisor.fleet_eligibility import find_ineligible_data, find_ineligible_reason
from pipelines.training.messages import MOST_BYTES

_JAX_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")


def plan_gpus(study: Study, checked: StudyCheck, data: Path, engine: LocalEngine) -> None:
    """Lay an engine's trials out on its GPUs, if it has any.

    Args:
        study: the study.
        checked: its data and the size of its largest model.
        data: the folder of its prepared data, which a trial may hold on its GPU.
        engine: the engine.
    """
    if (places := engine.places) is None:
        return
    if len(places.places[0].gpus) > 1 and study.spec.resources.devices == 1:
        places.explain("a trial trains on 1 of them, and with resources.devices: all on all")
    if find_ineligible_reason(study) or find_ineligible_data(study, checked.summary):
        engine.share_gpus(_predict_trial_bytes(checked, data))
    elif any(map(importlib.util.find_spec, _JAX_PLUGINS)):
        places.expect_fleets()
    elif not places.is_chosen:
        found = places.describe_gpus()
        engine.use_cpu(f'{found} found, none is used: fleets run on JAX, which has no CUDA; pip install "jax[cuda13]"')


def _predict_trial_bytes(checked: StudyCheck, data: Path) -> int:
    """Return the memory of the largest trial: its model and its rows; 0 where its model is unknown."""
    if checked.largest.refused or not checked.largest.memory_bytes:
        return 0
    rows = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
    # Larger data stays on disk, and comes batch by batch.
    return checked.largest.memory_bytes + (rows if rows <= MOST_BYTES else 0)
