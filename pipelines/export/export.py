"""Export of a trial's model: files in several formats, each verified against the Keras model before delivery.

All files are written to a temporary folder next to the target, which is renamed when all are verified. So a failed
export leaves nothing that could be mistaken for a model. One process writes the files; a fresh one loads each again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.data.prepared_folder import load_summary
from pipelines.engines.base import Engine, Job
from pipelines.engines.run_job import JobError, run_job
from pipelines.export.jobs import VERIFY_EXPORT, WRITE_FORMATS, ExportJob
from pipelines.export.model_card import ModelOrigin, render_model_card
from pipelines.export.parity import Parity
from pipelines.export.registry import FORMATS, check_formats
from pipelines.export.sidecar_files import write_sidecar_files
from pipelines.export.verify import ExportError, VerificationJob, WrittenModel
from pipelines.selection.model_locations import locate_trial
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import explain_missing_model, has_model, read_trial_config
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from search_spaces.values import replace_not_finite

__all__ = ["FORMATS", "ExportError", "ExportResult", "ExportSource", "Parity", "check_target", "export_trial"]


@dataclass(frozen=True)
class ExportResult:
    """Files of an export.

    Attributes:
        test: metrics on the test rows, if it is the model that the study delivers.
        made: how that model was made from the trial's, such as a refit; empty for the trial's model.
    """

    study: str
    trial: int
    folder: str
    files: tuple[Parity, ...]
    test: Mapping[str, float]
    made: str = ""


@dataclass(frozen=True)
class ExportSource:
    """Model to export.

    Attributes:
        study: name of its study.
        number: number of its trial.
        location: the folder of the trial, of its refit, or of an ensemble.
    """

    study: str
    number: int
    location: PastTrial

    @classmethod
    def from_home(cls, home: Home, study: str, number: int) -> ExportSource:
        """Return a trial's model as the search trained it."""
        return cls(study, number, locate_trial(home, study, number))


def export_trial(
    source: ExportSource,
    formats: Sequence[str],
    target: Path,
    engine: Engine,
    origin: ModelOrigin | None = None,
) -> tuple[Parity, ...]:
    """Write a trial's model to `target` in each format, and return the comparison of each file with the Keras model.

    Args:
        source: the model.
        formats: names in `FORMATS`.
        target: folder to create.
        engine: runs the jobs that write and verify.
        origin: facts of the study for the model card; None writes no card.

    Raises:
        InputError: if a format is unknown or cannot be written here, the target exists, or the trial has no model.
        ExportError: if a file cannot be written or differs from the Keras model; nothing is left behind.
    """
    check_target(target)
    check_formats(formats)
    trial = source.location
    if not has_model(Path(trial.folder)):
        reason = explain_missing_model(Path(trial.folder))
        raise InputError(f"trial {source.number} of {source.study} has no model on disk: {reason}")
    target.parent.mkdir(parents=True, exist_ok=True)
    # On the target's disk, since a rename is atomic only there.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        # A format that was named twice is written once.
        written, parities = _write_and_verify(engine, trial, folder, tuple(dict.fromkeys(formats)))
        _describe(folder, trial, written, parities, origin)
        folder.rename(target)
    return parities


def _write_and_verify(
    engine: Engine, trial: PastTrial, folder: Path, formats: tuple[str, ...]
) -> tuple[WrittenModel, tuple[Parity, ...]]:
    """Write each format in one job, and verify each file in another."""
    log, expected = Path(trial.folder) / "export.log", str(folder.with_name("expected.npz"))
    try:
        # `fresh`: the verification below must not find what this job has imported or registered.
        job = Job("export", WRITE_FORMATS, ExportJob(trial, str(folder), formats, expected), log, fresh=True)
        written = run_job(engine, job)
        parities = tuple(
            _verify_file(engine, VerificationJob(trial, str(folder), name, file, expected, written), log)
            for name, file in zip(formats, written.files, strict=True)
        )
    except JobError as error:
        raise ExportError(str(error)) from None
    return written, parities


def _describe(
    folder: Path, trial: PastTrial, written: WrittenModel, parities: tuple[Parity, ...], origin: ModelOrigin | None
) -> None:
    """Write the results of the verification, the sidecar files and the model card."""
    # `HttpClient.export` reads this file from the archive.
    parity = json.dumps(replace_not_finite([asdict(each) for each in parities]), indent=2, allow_nan=False)
    (folder / "parity.json").write_text(parity + "\n", encoding="utf-8")
    summary, config = load_summary(Path(trial.data)), read_trial_config(Path(trial.folder))
    write_sidecar_files(folder, summary, written.shapes, written.outputs, parities)
    if origin is not None:
        (folder / "README.md").write_text(render_model_card(origin, summary, config, parities), encoding="utf-8")
        (folder / origin.study_file).write_text(origin.document, encoding="utf-8")


def check_target(target: Path) -> None:
    """Check that nothing is overwritten.

    Raises:
        InputError: if the target exists.
    """
    if target.exists():
        raise InputError(f"{target} exists already: choose another folder with --to, or remove it first")


def _verify_file(engine: Engine, job: VerificationJob, log: Path) -> Parity:
    # A fresh worker for each file: what one registers could hide that another does not load alone.
    parity: Parity = run_job(engine, Job(f"proof {job.format}", VERIFY_EXPORT, job, log, fresh=True))
    return parity
