"""The `series` family: an encoded series, joined with a row's columns, and a prediction."""

from __future__ import annotations

import keras

from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import embed_codes, join_parts, make_inputs
from pipelines.models.encoders.series import encode_series
from pipelines.models.family_model import FamilyModel
from pipelines.models.head import apply_head
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import read_kernel_options


class Series(FamilyModel):
    """Dense, convolutional, recurrent or attention layers on a series."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("series", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        context = self.context
        options, features = read_kernel_options(requests), context.features
        inputs = make_inputs(features)
        parts = [encode_series(requests, options, inputs["series"])]
        parts += [inputs["dense"]] if features.dense else []
        parts += embed_codes(requests, features, inputs["codes"]) if features.codes else []
        output = apply_head(requests, options, context, requests.get_value("depth"), join_parts(parts))
        return keras.Model(inputs, output, name="series")
