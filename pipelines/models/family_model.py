"""The base class of the shipped families: a KerasTuner hypermodel with its compilation and its `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner

from pipelines.models.catalogue import find_family
from pipelines.models.context import ModelContext
from pipelines.models.feature_check import check_features
from pipelines.models.head_objectives import calculate_head_weights
from pipelines.models.heads_model import make_heads_model
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.losses import build_compilation
from pipelines.models.objectives import calculate_class_weights
from pipelines.models.optimizers import OptimizerClass, build_optimizer
from search_spaces.errors import InputError, Problem


class FamilyModel(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """A hypermodel with the context of its study."""

    def __init__(self, name: str, context: ModelContext) -> None:
        super().__init__(name=name)
        self.family = find_family(name)
        self.context = context

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model for the values that `hp` holds.

        Raises:
            InputError: if the family cannot take the data, or a value is not usable.
        """
        check_features(self.family, self.context.features)
        requests = self.make_requests(hp)
        network = self.build_network(requests)
        if self.context.task.heads:
            network = make_heads_model(network)
        return self.compile_network(network, requests)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the model, not compiled, for data that the family takes."""
        raise NotImplementedError

    def compile_network(self, network: keras.Model, requests: HyperparameterRequests) -> keras.Model:
        """Compile a network with the trial's optimizer; return it."""
        return compile_model(network, requests, self.context)

    def make_requests(self, hp: keras_tuner.HyperParameters) -> HyperparameterRequests:
        """Return the requests of one build, which read values from `hp`."""
        return HyperparameterRequests(hp, self.family, self.context.per_layer)

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Train with the trial's batch size and epochs and the study's class weights; arguments override them.

        The signature is KerasTuner's. Returns Keras's history.

        Raises:
            InputError: if classes of several heads have weights, which `Model.fit` takes for one output alone.
        """
        if calculate_head_weights(self.context.task, self.context.training) is not None:
            message = "Model.fit weighs the classes of one output alone; pass sample_weight as a dict by output, and "
            raise InputError(Problem(f"{message}leave class_weight out", "training.heads"))
        requests = self.make_requests(hp)
        defaults = {
            "batch_size": requests.get_value("batch_size"),
            "epochs": requests.get_value("epochs"),
            "class_weight": calculate_class_weights(self.context.task, self.context.training),
        }
        # KerasTuner's tuners pass arguments of their `search`, which come first.
        return model.fit(*args, **{**defaults, **kwargs})


def compile_model(
    model: keras.Model,
    requests: HyperparameterRequests,
    context: ModelContext,
    adapt: Callable[[OptimizerClass], OptimizerClass] | None = None,
) -> keras.Model:
    """Compile `model` with the trial's optimizer and the study's loss and metrics; return it.

    Args:
        model: the network.
        requests: the trial's values.
        context: the study.
        adapt: makes another class of the optimizer's class.
    """
    # Schedules are declared in epochs, and Keras counts steps.
    steps = context.steps_per_epoch(requests.get_value("batch_size"))
    model.compile(
        optimizer=build_optimizer(requests, steps, requests.get_value("epochs"), adapt),
        **build_compilation(requests, context.task, context.training),
    )
    return model
