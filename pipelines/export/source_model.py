"""A trial's model, loaded for the export: whole, and split into its preprocessing and its network.

Formats know flat inputs and outputs only. So a model whose input or output is a structure is wrapped in one that takes
and gives tensors by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.leaves import take_rows
from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.examples.structures import Structure, flatten
from pipelines.data.prepared import DataSummary
from pipelines.data.prepared_folder import load_examples_part, load_part, load_summary
from pipelines.data.raw_inputs import arrange_names, make_pack
from pipelines.export.base import OutputTensor, SourceModel
from pipelines.export.ensemble import average_outputs, list_members
from pipelines.export.text_split import split_text
from pipelines.models.model_outputs import describe_outputs
from pipelines.models.symbolic_inputs import make_symbolic_inputs
from pipelines.models.user_model import make_model_input
from pipelines.training.deployed_model import load_deployed_model
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import MODEL_FILE, needs_code, read_trial_config
from pipelines.training.user_model.model_code import is_portable, write_portable_model

_CALIBRATION_ROWS = 500  # LiteRT's guide advises 100 to 500


def load_source_model(trial: PastTrial) -> SourceModel:
    """Return the model of a trial or of an ensemble, and training rows of the fold that it was trained on.

    Raises:
        KerastudyError: if there is no model, or the code that builds it is not there or raises.
    """
    folder, data = Path(trial.folder), Path(trial.data)
    model, summary = load_deployed_model(trial), load_summary(data)
    fold = read_trial_config(folder)["fold"]
    file = folder / MODEL_FILE if (folder / MODEL_FILE).exists() else None
    return replace(
        _split_model(model, summary, data, fold),
        file=file,
        write_portable=partial(write_portable_model, folder) if is_portable(folder) else None,
        needs_code=needs_code(folder),
    )


def _split_model(model: keras.Model, summary: DataSummary, data: Path, fold: int) -> SourceModel:
    if summary.given is not None:
        return _make_whole(model, summary, _load_given_rows(data, summary, fold))
    halves = [_split_layers(member) for member in list_members(model) or [model]]
    preprocessing = halves[0].preprocessing
    if any(_differs(preprocessing, other.preprocessing) for other in halves[1:]):
        # Each has other preprocessing: behind the text there is nothing but their mean.
        return _make_whole(model, summary, {}, splits_text=False)
    network = _build_named_network(preprocessing, [half.core for half in halves])
    names = [each.name for each in network.outputs]
    return SourceModel(
        model=_name_outputs({taken.name: taken for taken in model.inputs}, model.output, names),
        preprocessing=preprocessing,
        network=network.model,
        file=None,
        calibration=_load_prepared_rows(data, fold),
        outputs=network.outputs,
        source=model,
    )


@dataclass(frozen=True)
class _Halves:
    """A deployed model's preprocessing, and the model behind it."""

    preprocessing: keras.Model
    core: keras.Model


@dataclass(frozen=True)
class _Named:
    """A model with tensors by name at both ends, and its outputs in their order."""

    model: keras.Model
    outputs: tuple[OutputTensor, ...]


def _split_layers(model: keras.Model) -> _Halves:
    preprocessing, core = (layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer))
    return _Halves(preprocessing, core)


def _differs(preprocessing: keras.Model, other: keras.Model) -> bool:
    """Return whether two models were trained on other folds, each with preprocessing of its own."""
    if preprocessing.to_json() != other.to_json():
        return True
    pairs = zip(preprocessing.get_weights(), other.get_weights(), strict=True)
    return not all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def _make_whole(
    model: keras.Model, summary: DataSummary, calibration: Mapping[str, Array], *, splits_text: bool = True
) -> SourceModel:
    """Return a model that is not split."""
    takes = arrange_names(summary)
    try:
        inputs = make_symbolic_inputs(model, summary)
        # `training=False`: the exported graph must not hold dropout.
        named = _name_call(inputs, model(make_pack(takes)(inputs), training=False), model)
    # Any code may run in a user model's call: Keras's own formats need no graph of it.
    except Exception as error:
        reason = f"the model cannot be traced: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
        return SourceModel(None, None, None, None, calibration, (), model, takes, untraceable=reason)
    source = SourceModel(named.model, None, named.model, None, calibration, named.outputs, model, takes)
    split = split_text(model, inputs, takes) if splits_text else None
    if split is None:
        return source
    prepared = split.preprocessing(make_tensors(dict(calibration)))
    return replace(
        source,
        preprocessing=split.preprocessing,
        network=_name_outputs(split.inputs, split.answer, [each.name for each in named.outputs]),
        calibration={**calibration, **{name: np.asarray(values) for name, values in prepared.items()}},
    )


def _build_named_network(preprocessing: keras.Model, cores: Sequence[keras.Model]) -> _Named:
    """Return the mean of the networks with inputs of the same names as the outputs of their preprocessing."""
    inputs = {
        name: keras.Input(made.shape[1:], dtype=made.dtype, name=name) for name, made in preprocessing.output.items()
    }
    for index, core in enumerate(cores if len(cores) > 1 else ()):
        # Keras refuses two layers of one name in a model, and networks of one family share theirs.
        core.name = f"network_{index}"
    # `training=False`: the exported graph must not hold dropout.
    answers = [core(_select_inputs(core, inputs), training=False) for core in cores]
    return _name_call(inputs, average_outputs(answers), cores[0])


def _select_inputs(core: keras.Model, inputs: Mapping[str, Any]) -> Any:
    taken = getattr(core, "inputs", None) or ()
    # Private to Keras, which has no public way to see whether a model takes a mapping.
    if isinstance(getattr(core, "_inputs_struct", None), dict) and {each.name for each in taken} <= set(inputs):
        return {each.name: inputs[each.name] for each in taken}
    return make_model_input(inputs)


def _name_call(inputs: Mapping[str, Any], answer: Structure, core: keras.Model) -> _Named:
    """Return the model of a call of `core`; its outputs have the names that `core` gives them."""
    described = describe_outputs(answer, getattr(core, "output_names", None) or ())
    outputs = tuple(OutputTensor(*each) for each in described)
    return _Named(_name_outputs(inputs, answer, [each.name for each in outputs]), outputs)


def _name_outputs(inputs: Mapping[str, Any], answer: Structure, names: Sequence[str]) -> keras.Model:
    leaves = keras.tree.flatten(answer)
    # A single output has the name that the format gives it, unless the model has it in a dict.
    is_bare = len(leaves) == 1 and not isinstance(answer, Mapping)
    return keras.Model(inputs, leaves[0] if is_bare else dict(zip(names, leaves, strict=True)), name="network")


def _load_prepared_rows(data: Path, fold: int) -> Mapping[str, Array]:
    train = load_part(data, "train", fold)
    return {name: np.asarray(values[_choose_rows(train.rows)]) for name, values in train.x.items()}


def _load_given_rows(data: Path, summary: DataSummary, fold: int) -> Mapping[str, Array]:
    train = load_examples_part(data, "train", fold)
    chosen, leaves = _choose_rows(train.rows), flatten(train.x)
    return {column.name: take_rows(leaf, chosen) for column, leaf in zip(summary.raw, leaves, strict=True)}


def _choose_rows(rows: int) -> Array:
    # A fixed seed, so that an export gives the same files again.
    return np.sort(np.random.default_rng(0).permutation(rows)[:_CALIBRATION_ROWS])
