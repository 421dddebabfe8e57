"""User model of a past trial: built again by its code, with the trial's values and weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from pipelines.data.array_types import Array
from pipelines.data.examples.examples import Examples
from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.prepared_folder import load_examples_part, load_summary
from pipelines.data.raw import PartName
from pipelines.models.user_model import LoadedUserModel, ModelCodeError, encode_targets, has_call, load_user_model
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import USER_MODEL_WEIGHTS_FILE, read_trial_config
from pipelines.training.user_model.model_code import HYPERPARAMETERS, WEIGHTS, open_code
from pipelines.training.weight_files import load_weights
from search_spaces.hyperparameters import TrialHyperParameters


@dataclass(frozen=True)
class RebuiltModel:
    """A trained user model, compiled as its code compiles it, and the data that it was trained on.

    Attributes:
        user: its code.
        fold: the fold that it was trained on.
    """

    model: keras.Model
    user: LoadedUserModel
    data: Path
    fold: int

    def load_rows(self, part: PartName) -> Examples:
        """Return the rows of a part as the model takes them, with targets for its loss."""
        rows = load_examples_part(self.data, part, self.fold)
        return replace(rows, y=encode_targets(self.model, load_summary(self.data).task, rows.y))

    def create_weights(self, count: int) -> None:
        """Call the model once; train it once if it then has less than `count` weights."""
        few = self.load_rows("train").take(slice(1))
        x, y = make_tensors(few.x), make_tensors(few.y)
        if has_call(self.model):
            self.model(x)
        # A part that only training calls, such as a generator, has no weights before.
        if len(self.model.weights) < count and self.model.compiled:
            self.model.train_on_batch(x, y)


def rebuild_user_model(trial: PastTrial, registered: Path | None = None) -> RebuiltModel | None:
    """Return the trained model of a trial as its code builds it; None where it left no weights.

    Args:
        trial: the trial.
        registered: folder with the hyperparameters and weights of another model that the same code builds.

    Raises:
        InputError: if the code is not there.
        ModelCodeError: if the code raises.
    """
    folder, data = Path(trial.folder), Path(trial.data)
    config = read_trial_config(folder)
    weights, values = folder / USER_MODEL_WEIGHTS_FILE, config["requested"]
    if registered is not None:
        weights, values = registered / WEIGHTS, json.loads((registered / HYPERPARAMETERS).read_text(encoding="utf-8"))
    if not weights.exists():
        return None
    # Names count from one in each model: else a metric without a name would be `auc_2` here, and `auc` in training.
    keras.backend.clear_session(free_memory=False)
    policy = keras.config.dtype_policy()
    try:
        with open_code(folder) as code:
            user = load_user_model(*code)
        # Every requested value, drawn ones included: no supervisor draws values here.
        model = user.build(TrialHyperParameters(values))
        rebuilt = RebuiltModel(model, user, data, config["fold"])
        with user.locate_errors():
            rebuilt.create_weights(len(kept := load_weights(weights)))
            _check_fit(model, kept, user)
            model.set_weights(kept)
    finally:
        # Code may set the policy of the whole process, as Keras's guide of mixed precision does. Layers that are made
        # by the first call have it too.
        keras.config.set_dtype_policy(policy)
    return rebuilt


def _check_fit(model: keras.Model, kept: Sequence[Array], user: LoadedUserModel) -> None:
    """Refuse weights of another model than `build` returns: a `fit` may train whatever it makes."""
    built, trained = ([tuple(weight.shape) for weight in weights] for weights in (model.weights, kept))
    if built != trained:
        raise ModelCodeError(
            f"fit in {user.file.name} trained a model of other layers than build returns ({len(trained)} weights, "
            f"{len(built)} in build), so it cannot be built again for its scores; let build return it"
        )
