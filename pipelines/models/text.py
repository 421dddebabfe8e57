"""The `text` family: encoded columns of text, joined with other columns, and a prediction."""

from __future__ import annotations

import keras

from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import embed_codes, join_parts, make_inputs
from pipelines.models.encoders.text import encode_texts
from pipelines.models.family_model import FamilyModel
from pipelines.models.head import apply_head
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import read_kernel_options


class Text(FamilyModel):
    """Bags of words, convolutions, recurrent or attention layers on text."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("text", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        context = self.context
        options, features = read_kernel_options(requests), context.features
        inputs = make_inputs(features)
        parts = encode_texts(requests, options, features, inputs)
        parts += [inputs["dense"]] if features.dense else []
        parts += embed_codes(requests, features, inputs["codes"]) if features.codes else []
        output = apply_head(requests, options, context, requests.get_value("depth"), join_parts(parts))
        return keras.Model(inputs, output, name="text")
