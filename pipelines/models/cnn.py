"""The `cnn` family: augmentation, blocks of convolutions that halve the image, and a prediction."""

from __future__ import annotations

import keras

from pipelines.models.context import ModelContext
from pipelines.models.encoders.columns import make_inputs
from pipelines.models.encoders.image import encode_image
from pipelines.models.family_model import FamilyModel
from pipelines.models.head import apply_head
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.layers import read_kernel_options


class Cnn(FamilyModel):
    """Convolutions on images."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__("cnn", context)

    def build_network(self, requests: HyperparameterRequests) -> keras.Model:
        """Return the network; see `FamilyModel`."""
        options, inputs = read_kernel_options(requests), make_inputs(self.context.features)
        vector = encode_image(requests, options, inputs["image"])
        output = apply_head(requests, options, self.context, requests.get_value("blocks"), vector, "dense")
        return keras.Model(inputs, output, name="cnn")
