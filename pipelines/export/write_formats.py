"""Writer of a trial's model in several formats, with the Keras model's predictions to compare them with; a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.prepared_folder import load_summary
from pipelines.data.raw_inputs import make_pack
from pipelines.engines.base import Channel
from pipelines.export.base import FormatError, Outputs, OutputTensor, SourceModel, WrittenFile
from pipelines.export.held_out import (
    count_compared,
    find_held_out_part,
    iterate_held_out,
    load_held_out,
    make_odd_rows,
)
from pipelines.export.jobs import ExportJob
from pipelines.export.parity import compute_allowed_difference, compute_largest_difference, compute_mean_difference
from pipelines.export.readings import read_by_loss, read_by_task
from pipelines.export.registry import FORMATS
from pipelines.export.scoring import Deciding, make_scorer
from pipelines.export.sidecar_files import EXAMPLE_ROWS, write_example
from pipelines.export.verify import Expected, WrittenModel, add_precision
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import read_trial_config
from pipelines.training.user_model.classes import register_user_classes
from search_spaces.errors import KerastudyError

if TYPE_CHECKING:
    import keras


def write_formats(job: ExportJob, channel: Channel) -> WrittenModel:
    """Write every format, the Keras model's predictions, and example rows; a job."""
    from pipelines.export.source_model import load_source_model
    from pipelines.models.raw_predict import choose_batch_rows
    from pipelines.models.symbolic_inputs import list_input_shapes

    folder, target = Path(job.trial.folder), Path(job.folder)
    with register_user_classes(folder):
        deployed = load_source_model(job.trial)
        expected = predict_expected(deployed, job.trial)
        expected.save(job.expected)
        precision = describe_precision(deployed.original)
        files = []
        for name in job.formats:
            files.append(_write_format(name, deployed, target, precision))
            channel.beat()
    write_example(target, load_held_out(job.trial, EXAMPLE_ROWS))
    result = _score(job.trial, expected.rows)
    channel.beat()
    outputs = _read_outputs(job.trial, result.model, deployed.outputs or _list_outputs(expected.rows))
    shapes = list_input_shapes(deployed.original, load_summary(Path(job.trial.data)))
    return WrittenModel(
        tuple(files),
        outputs,
        shapes,
        result.scores,
        result.deciding,
        result.reason,
        precision,
        choose_batch_rows(deployed.original),
    )


def _write_format(name: str, deployed: SourceModel, folder: Path, precision: str) -> WrittenFile:
    if deployed.untraceable and not name.startswith("keras"):
        raise FormatError(f"{name}: {deployed.untraceable}")
    try:
        return FORMATS[name].write(deployed, folder)
    except FormatError as error:
        raise FormatError(add_precision(str(error), precision)) from error


def predict_expected(deployed: SourceModel, trial: PastTrial) -> Expected:
    """Return the Keras model's predictions, and how far a second prediction is from the first."""
    from pipelines.models.raw_predict import predict_outputs, predict_parts

    # Stored, not computed again by each verification: the Keras model need not be loaded there.
    pack = make_pack(deployed.takes)
    first, second = (predict_parts(deployed.original, iterate_held_out(trial), pack) for _ in range(2))
    odd = make_odd_rows(trial)
    expected_odd = predict_outputs(deployed.original, odd, pack) if odd else tuple(each[:0] for each in first)
    return Expected(first, expected_odd, _measure_noise(first, second))


def _measure_noise(first: Outputs, second: Outputs) -> tuple[float, ...] | None:
    tolerance = FORMATS["keras"].tolerance
    for ours, theirs in zip(first, second, strict=True):
        allowed = compute_allowed_difference(ours, tolerance) or 0.0
        # Threads may sum in another order; NaN is no noise, and is reported by the comparison.
        if compute_largest_difference((ours,), (theirs,)) > allowed:
            return tuple(compute_mean_difference(*pair) for pair in zip(first, second, strict=True))
    return None


@dataclass(frozen=True)
class _Scores:
    """Scores of the Keras model's predictions, or the reason why there are none."""

    scores: Mapping[str, float]
    deciding: Deciding | None
    model: keras.Model | None
    reason: str = ""


def _score(trial: PastTrial, predictions: Outputs) -> _Scores:
    try:
        scorer = make_scorer(trial, find_held_out_part(trial), count_compared(trial))
        scores = scorer.score(predictions)
    # The file may be right where the code is gone.
    except KerastudyError as error:
        return _Scores({}, None, None, f"its predictions have no score: {error}")
    return _Scores(scores, scorer.choose(scores), getattr(scorer, "model", None))


def _list_outputs(predictions: Outputs) -> tuple[OutputTensor, ...]:
    return tuple(
        OutputTensor(f"output_{index}", each.shape[1:], str(each.dtype)) for index, each in enumerate(predictions)
    )


def _read_outputs(
    trial: PastTrial, compiled: keras.Model | None, outputs: tuple[OutputTensor, ...]
) -> tuple[OutputTensor, ...]:
    task = load_summary(Path(trial.data)).task
    is_user_model = "base" in read_trial_config(Path(trial.folder))
    return read_by_loss(compiled, task, outputs) if is_user_model else read_by_task(task, outputs)


def describe_precision(model: keras.Model) -> str:
    """Return that a model computes in 16 bits, and in which layers; empty for one that does not."""
    policies: dict[str, list[str]] = {}
    for layer in model._flatten_layers(include_self=False):
        policy = layer.dtype_policy
        if getattr(policy, "compute_dtype", "float32") in ("float16", "bfloat16"):
            policies.setdefault(policy.name, []).append(layer.name)
    return " and ".join(
        f'the model computes in {policy} ({len(layers)} layers, such as "{layers[0]}")'
        for policy, layers in policies.items()
    )
