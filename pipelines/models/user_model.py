"""User models: a function of `hp`, a `HyperModel` class, or an instance of one, loaded from its file.

The user's code runs as in KerasTuner: it compiles the model, and its `fit` trains the model if it defines one. An
error inside it is reported with the user's file and line.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.spec.code_errors import describe_error
from pipelines.spec.code_references import load_object, split_reference
from search_spaces.errors import InputError, KerastudyError, Problem

_ONE_HOT_LOSSES = frozenset(
    {
        *("categoricalcrossentropy", "categoricalfocalcrossentropy", "categoricalgeneralizedcrossentropy"),
        *("categoricalhinge", "kldivergence", "cosinesimilarity"),
    }
)


class ModelCodeError(KerastudyError):
    """The user model's code raised; the message ends with its file and line."""


class ModelRefusedError(KerastudyError):
    """The user model raised `FailedTrialError`: it does not train these values."""


class ModelFatalError(KerastudyError):
    """The user model raised `FatalError` or a subclass: no trial can succeed."""


@dataclass(frozen=True)
class LoadedUserModel:
    """A user model's hypermodel and its file.

    Attributes:
        has_custom_fit: whether the user's code defines `fit`.
    """

    hypermodel: keras_tuner.HyperModel
    file: Path
    has_custom_fit: bool

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the model for the values that `hp` holds.

        Raises:
            InputError: if it is no Keras model.
            ModelCodeError: if the code raises.
            ModelRefusedError: if it raises KerasTuner's `FailedTrialError`.
            ModelFatalError: if it raises KerasTuner's `FatalError`.
        """
        with self.locate_errors():
            # KerasTuner's tuners call it first, so that `build` may take what it declares by `hp.get`.
            self.hypermodel.declare_hyperparameters(hp)
            model = self.hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            message = f"expected {self.file.name} to build a Keras model, got {type(model).__name__}; return the model"
            raise InputError(Problem(message, "model"))
        if not self.has_custom_fit and not getattr(model, "compiled", False):
            message = (
                f"the model that {self.file.name} builds is not compiled; call model.compile() before you return it"
            )
            raise InputError(Problem(message, "model"))
        return model

    @contextmanager
    def locate_errors(self) -> Iterator[None]:
        """Add file and line to errors of the user's code; errors about memory pass unchanged."""
        try:
            yield
        except (KerastudyError, MemoryError):
            raise
        except keras_tuner.errors.FailedTrialError as error:
            raise ModelRefusedError(str(error) or "the model refuses these values") from error
        except keras_tuner.errors.FatalError as error:
            raise ModelFatalError(describe_error(error, self.file)) from error
        # `sys.exit` in user code ends its trial.
        except (Exception, SystemExit) as error:
            # By name: its class is in TensorFlow, whose import takes seconds.
            if type(error).__name__ == "ResourceExhaustedError":
                raise
            raise ModelCodeError(describe_error(error, self.file)) from error


def load_user_model(reference: str, base: Path) -> LoadedUserModel:
    """Return the hypermodel that `file.py:name` names; the path is relative to `base`.

    Raises:
        InputError: if it cannot be loaded, or is no hypermodel.
    """
    found = load_object(reference, base, "model")
    file, name = split_reference(reference, base, "model")
    hypermodel = _convert_to_hypermodel(found, name, file)
    # An instance may also get its `fit` by assignment.
    has_custom_fit = type(hypermodel).fit is not keras_tuner.HyperModel.fit or "fit" in vars(hypermodel)
    return LoadedUserModel(hypermodel, file, has_custom_fit)


def has_call(model: keras.Model) -> bool:
    """Return whether a model predicts: one with its own `train_step`, as of Keras's guides, may have no `call`."""
    return type(model).call is not keras.Model.call


def can_score(model: keras.Model) -> bool:
    """Return whether `Model.evaluate` can score a model, as it does for validation and test rows."""
    return has_call(model) or type(model).test_step is not keras.Model.test_step


def make_model_input(x: Mapping[str, Array]) -> Any:
    """Return the features as a user model gets them: one array, or a dict of several."""
    return next(iter(x.values())) if len(x) == 1 else dict(x)


def encode_targets(model: keras.Model, task: Task, y: Any) -> Any:
    """Return the targets for the model's loss: class indexes as one column per class for a categorical loss.

    Targets that were given with the data are returned unchanged.
    """
    if task.kind == "custom" or not task.classes or not _needs_one_hot(getattr(model, "loss", None)):
        return y
    one_hot: Array = np.eye(len(task.classes), dtype=np.float32)[np.asarray(y)]
    return one_hot


def _convert_to_hypermodel(found: Any, name: str, file: Path) -> keras_tuner.HyperModel:
    if isinstance(found, keras_tuner.HyperModel):
        return found
    if isinstance(found, type) and issubclass(found, keras_tuner.HyperModel):
        needed = [each.name for each in inspect.signature(found).parameters.values() if _is_needed(each)]
        if needed:
            raise InputError(Problem(f"{name} needs {', '.join(needed)}; {_suggest_instance(name, file)}", "model"))
        try:
            return found()
        except Exception as error:
            raised = describe_error(error, file)
            raise InputError(Problem(f"{name}() raises {raised}; {_suggest_instance(name, file)}", "model")) from error
    if isinstance(found, type) or not callable(found):
        kind = found.__name__ if isinstance(found, type) else type(found).__name__
        message = f"expected {name} to be a function of hp or a keras_tuner.HyperModel, got {kind}"
        raise InputError(Problem(message, "model"))
    return _FunctionHypermodel(found)


def _suggest_instance(name: str, file: Path) -> str:
    return f"write `model = {name}(...)` in {file.name} and name that"


class _FunctionHypermodel(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """A hypermodel that builds by a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.build = function


def _is_needed(parameter: inspect.Parameter) -> bool:
    is_open = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and not is_open


def _needs_one_hot(loss: Any) -> bool:
    if not isinstance(loss, str | keras.losses.Loss) and not callable(loss):
        return False
    # A loss may be a name, an instance or a function; the names differ in case and underscores only.
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return name.replace("_", "").lower() in _ONE_HOT_LOSSES
