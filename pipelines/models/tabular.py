"""The `tabular` family: a table's columns with embedded numbers, and layers that suit tables."""

from __future__ import annotations

import keras

from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import make_inputs
from pipelines.models.encoders.tabular import encode_columns
from pipelines.models.family_model import FamilyModel
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import predict_targets, read_kernel_options


class Tabular(FamilyModel):
    """A residual network, dense layers or a transformer on a table's columns."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("tabular", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        context, options = self.context, read_kernel_options(requests)
        inputs = make_inputs(context.features)
        x = encode_columns(requests, options, context.features, inputs)
        output = predict_targets(context.task, context.training, options, x)
        return keras.Model(inputs, output, name="tabular")
