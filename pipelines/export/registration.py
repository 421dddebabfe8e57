"""Proof that MLflow can load a user model before it is registered: as MLflow loads it, without the study's code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.engines.base import Channel
from pipelines.export.base import Tolerance
from pipelines.export.held_out import load_held_out
from pipelines.export.jobs import RegistrationJob
from pipelines.export.parity import compute_allowed_difference, compute_largest_difference

_ROWS = 32
# As much as one model's arithmetic varies with the number of rows in a batch.
_TOLERANCE = Tolerance(difference=1e-4)


def prove_registration(job: RegistrationJob, channel: Channel) -> str:
    """Return why an MLflow model cannot be registered; empty where it predicts what the trial's model does. A job."""
    from pipelines.data.prepared_folder import load_summary
    from pipelines.data.raw_inputs import arrange_names, make_pack
    from pipelines.models.raw_predict import iterate_batches, predict_outputs
    from pipelines.training.deployed_model import load_deployed_model

    raw = load_held_out(job.trial, _ROWS)
    try:
        # First: the study's code must not be in this process yet.
        found = _predict_as_mlflow(Path(job.saved), next(iterate_batches(raw)))
    # Any code may run while a user model is loaded.
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return f"MLflow cannot load it: {type(error).__name__}: {lines[-1][:300]}"
    channel.beat()
    model, pack = load_deployed_model(job.trial), make_pack(arrange_names(load_summary(Path(job.trial.data))))
    expected, again = (predict_outputs(model, raw, pack) for _ in range(2))
    got = tuple(np.asarray(each) for each in (found.values() if isinstance(found, dict) else [found]))
    if [each.shape for each in got] != [each.shape for each in expected]:
        return "MLflow's model gives other outputs than the trial's"
    for index, theirs in enumerate(expected):
        allowed = compute_allowed_difference(theirs, _TOLERANCE) or 0.0
        # A model that draws random numbers differs from itself.
        is_noisy = compute_largest_difference((again[index],), (theirs,)) > allowed
        difference = compute_largest_difference((got[index],), (theirs,))
        if difference > allowed and not is_noisy:
            return f"MLflow's model differs from the trial's by {difference:g}"
    return ""


def _predict_as_mlflow(saved: Path, tensors: dict[str, Any]) -> Any:
    """Return the predictions of an MLflow model, loaded by the module that MLflow calls."""
    from pipelines.training.user_model.portable import search_installed_code

    (package,) = (saved / "code").iterdir()
    places = [str(package)]
    spec = importlib.util.spec_from_file_location(
        package.name, package / "__init__.py", submodule_search_locations=places
    )
    assert spec is not None and spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    # Its files import each other by its name.
    sys.modules[package.name] = loader
    with search_installed_code():
        spec.loader.exec_module(loader)
        return loader._load_pyfunc(str(saved / "data")).predict_tensors(tensors)
