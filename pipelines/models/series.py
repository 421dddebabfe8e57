"""The `series` family: an encoded series, joined with a row's columns, and a prediction."""

from __future__ import annotations

import keras

from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import embed_codes, join_parts, make_inputs
from pipelines.models.encoders.series import encode_series
from pipelines.models.encoders.window_scale import scale_windows
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
        series, scale = inputs["series"], None
        if requests.get_value("scaling") == "window" and features.past and not context.task.classes:
            series, scale = scale_windows(series, features.past, requests.get_value("window"))
        parts = [encode_series(requests, options, series)]
        parts += [inputs["dense"]] if features.dense else []
        parts += embed_codes(requests, features, inputs["codes"]) if features.codes else []
        output = apply_head(requests, options, context, requests.get_value("depth"), join_parts(parts), rescale=scale)
        return keras.Model(inputs, output, name="series")
