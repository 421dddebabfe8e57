"""Exports a trial's model, and proves each file equal to the Keras model before it is handed over.

Everything is written to a folder beside the target and renamed when all of it is proven, so a failed export leaves
nothing that could be taken for a model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.data.prepared import Array, DataSummary
from pipelines.engines.alone import JobError, run_alone
from pipelines.engines.engine import Channel, Engine, Job
from pipelines.export.formats import Format
from pipelines.export.keras_file import KerasFile
from pipelines.export.saved_model import SavedModel
from pipelines.home import Home
from pipelines.selection import past_trial
from pipelines.training.trainer import ARTIFACTS, PastTrial, has_model
from pipelines.user_code import callables_beside
from search_spaces.errors import InputError, KerastudyError, nearest

FORMATS: Mapping[str, Format] = {each.name: each for each in (KerasFile(), SavedModel())}
_MOST_ROWS = 2048


class ExportError(KerastudyError):
    """A format could not be written, or did not give the Keras model's predictions; nothing was handed over."""


@dataclass(frozen=True)
class Parity:
    """How a written file compares with the Keras model on real rows.

    Attributes:
        rows: rows compared; of the test part where there is one, else of the validation part.
        largest_difference: between any two predictions.
        agreement: share of the rows with the same decision (class, or the value within tolerance).
    """

    format: str
    file: str
    rows: int
    largest_difference: float
    agreement: float
    size_bytes: int


@dataclass(frozen=True)
class Exported:
    """What an export wrote; `test` holds the winner's metrics on the test rows, where it is the winner."""

    study: str
    trial: int
    folder: str
    files: tuple[Parity, ...]
    test: Mapping[str, float]


@dataclass(frozen=True)
class ExportJob:
    """What the worker needs."""

    trial: PastTrial
    folder: str
    formats: tuple[str, ...]


def export_trial(
    home: Home, study: str, number: int, formats: Sequence[str], target: Path, engine: Engine
) -> tuple[Parity, ...]:
    """Write a trial's model to `target` in each format and return how each compares with the Keras model.

    Raises:
        InputError: if a format is unknown, the target exists, or the trial has no model.
        ExportError: if a file cannot be written or differs from the Keras model; nothing is left behind.
    """
    check_target(target)
    for name in formats:
        if name not in FORMATS:
            raise InputError(f'unknown format "{name}"; {nearest(name, FORMATS)}')
    if not has_model(home.trial(study, number)):
        raise InputError(
            f"trial {number} of {study} has no model on disk: only complete trials among the best "
            "tracking.keep_models keep theirs, and those that were trained in a fleet"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as aside:
        folder = Path(aside) / "export"
        folder.mkdir()
        payload = ExportJob(past_trial(home, study, number), str(folder), tuple(dict.fromkeys(formats)))
        log = home.trial(study, number) / "export.log"
        try:
            parities: tuple[Parity, ...] = run_alone(
                engine, Job("export", "pipelines.export.export:write_formats", payload, log)
            )
        except JobError as error:
            raise ExportError(str(error)) from None
        folder.rename(target)
    return parities


def check_target(target: Path) -> None:
    """Make sure that nothing would be overwritten.

    Raises:
        InputError: if the target exists.
    """
    if target.exists():
        raise InputError(f"{target} exists already: choose another folder with --to, or remove it first")


def write_formats(job: ExportJob, channel: Channel) -> tuple[Parity, ...]:
    """Write every format with its proof; the worker's side of `export_trial`."""
    import keras

    from pipelines.data.prepare import load_summary

    data = Path(job.trial.data)
    summary = load_summary(data)
    raw = _rows_to_compare(summary, data)
    with keras.saving.custom_object_scope(_own_classes(Path(job.trial.folder))):
        return _written(job, summary, raw)


def _written(job: ExportJob, summary: DataSummary, raw: Mapping[str, Array]) -> tuple[Parity, ...]:
    import keras

    from pipelines.models.deployed import predict_raw
    from pipelines.training.rebuild import model_file

    model = keras.models.load_model(model_file(job.trial))
    expected = predict_raw(model, raw)
    folder = Path(job.folder)
    parities = tuple(_write_one(FORMATS[name], model, folder, raw, expected, summary) for name in job.formats)
    (folder / "parity.json").write_text(json.dumps([asdict(parity) for parity in parities], indent=2) + "\n")
    signature = json.dumps(signature_of(summary), indent=2, ensure_ascii=False)
    (folder / "signature.json").write_text(signature + "\n", encoding="utf-8")
    return parities


def _own_classes(trial: Path) -> dict[str, Any]:
    """Return what Keras must know by name to load a model of the study's own, such as classes of layers.

    Most need nothing, so code that is not there any more is no error.
    """
    file = trial / ARTIFACTS / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if "base" not in config:
        return {}
    try:
        return callables_beside(config["model"], Path(config["base"]), "model")
    except InputError:
        return {}


def signature_of(summary: DataSummary) -> dict[str, Any]:
    """Return what a caller must know of the model: its raw inputs, and what its output means."""
    return {
        "inputs": [asdict(column) for column in summary.raw],
        "task": summary.task.kind,
        "output": {
            "shape": [summary.task.outputs],
            "meaning": "probability of the second class"
            if summary.task.kind == "binary"
            else "probability of each class"
            if summary.task.classes
            else "value of each target",
            "classes": list(summary.task.classes),
            "targets": list(summary.task.targets),
        },
        "missing": {"float32": "NaN", "string": "the empty string"},
    }


def _rows_to_compare(summary: DataSummary, data: Path) -> dict[str, Array]:
    from pipelines.data.prepare import load_raw

    raw = load_raw(data, "test" if summary.rows.get("test") else "validation")
    return {name: values[:_MOST_ROWS] for name, values in raw.items()}


def _write_one(
    chosen: Format, model: Any, folder: Path, raw: Mapping[str, Array], expected: Array, summary: DataSummary
) -> Parity:
    import numpy as np

    written = chosen.write(model, folder)
    got = chosen.predict(written, raw)
    difference = float(np.max(np.abs(got - expected)))
    allowed = chosen.tolerance * max(1.0, float(np.max(np.abs(expected))))
    if not difference <= allowed:
        raise ExportError(f"{chosen.name} differs from the Keras model by {difference:g}, {allowed:g} is allowed")
    return Parity(
        format=chosen.name,
        file=written.name,
        rows=len(expected),
        largest_difference=difference,
        agreement=_agreement(got, expected, summary, allowed),
        size_bytes=_size(written),
    )


def _agreement(got: Array, expected: Array, summary: DataSummary, allowed: float) -> float:
    import numpy as np

    if summary.task.kind == "binary":
        same = (got >= 0.5) == (expected >= 0.5)
    elif summary.task.kind == "multiclass":
        same = np.argmax(got, axis=1) == np.argmax(expected, axis=1)
    else:
        same = np.abs(got - expected) <= allowed
    return float(np.mean(same))


def _size(written: Path) -> int:
    files = [written] if written.is_file() else [file for file in written.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
