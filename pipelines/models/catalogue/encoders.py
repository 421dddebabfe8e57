"""Hyperparameters of the encoders, from which families are put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipelines.models.hyperparameter import Hyperparameter
from search_spaces.values import Value

EMBEDDING_DIM = Hyperparameter(
    "embedding_dim",
    "int",
    0,
    "Width of each embedded column, and of each word of a text; 0 = by the number of codes or words n, "
    "round(1.6 n^0.56), at most 50.",
    low=0,
    high=32,
    least=0,
    most=10_000,
    forms=("codes", "text"),
)

DENSE_UNITS = Hyperparameter(
    "dense_units",
    "int",
    64,
    "Width of a dense layer before the prediction; 0 = none.",
    low=0,
    high=256,
    least=0,
    most=1_000_000,
)

_UNITS = Hyperparameter(
    "units",
    "int",
    64,
    "Width of the layers: filters of convolutions, state of recurrent layers.",
    low=16,
    high=128,
    log=True,
    per_layer=True,
    least=1,
    most=100_000,
)

_KERNEL_SIZE = Hyperparameter(
    "kernel_size",
    "int",
    3,
    "Steps that a convolution sees at once (conv).",
    low=2,
    high=7,
    per_layer=True,
    least=1,
    most=999,
)

_HEADS = Hyperparameter(
    "heads", "int", 4, "Heads of the attention (transformer).", low=1, high=8, log=True, least=1, most=128
)

_BIDIRECTIONAL = Hyperparameter(
    "bidirectional",
    "categorical",
    False,
    "Whether recurrent layers read in both directions, each with its units.",
    choices=(True, False),
)

SERIES_ENCODER: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "architecture",
        "categorical",
        "conv",
        "Layers that read the series: dense ones on all steps, residual blocks of dilated causal convolutions, "
        "recurrent layers, or attention.",
        choices=("mlp", "conv", "gru", "lstm", "transformer"),
    ),
    Hyperparameter(
        "window",
        "int",
        0,
        "Number of the last steps that are used, at most the length of the series; 0 = all.",
        low=0,
        high=0,
        least=0,
        most=1_000_000,
    ),
    Hyperparameter("depth", "int", 2, "Layers or blocks.", low=1, high=4, least=1, most=50),
    _UNITS,
    _KERNEL_SIZE,
    Hyperparameter(
        "dilation",
        "int",
        2,
        "Factor by which the steps between a convolution's values grow from block to block; 1 = no growth (conv).",
        low=1,
        high=3,
        least=1,
        most=8,
    ),
    _HEADS,
    _BIDIRECTIONAL,
    Hyperparameter(
        "pooling",
        "categorical",
        "last_and_average",
        "Reduction of the steps to a vector; the mlp needs none.",
        choices=("last_and_average", "last", "average", "max"),
    ),
)

TEXT_ENCODER: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "architecture",
        "categorical",
        "bag",
        "Layers that read the words: none (a bag of embedded words), convolutions, recurrent layers, or attention.",
        choices=("bag", "conv", "gru", "transformer"),
    ),
    Hyperparameter("depth", "int", 1, "Layers or blocks; the bag has none.", low=1, high=3, least=1, most=50),
    _UNITS,
    _KERNEL_SIZE,
    _HEADS,
    _BIDIRECTIONAL,
    Hyperparameter(
        "word_dropout",
        "float",
        0.0,
        "Share of the words that are left out in training; 0 = off.",
        low=0.0,
        high=0.5,
        least=0.0,
        most=0.99,
    ),
    Hyperparameter(
        "pooling",
        "categorical",
        "average_and_max",
        "Reduction of the words to a vector.",
        choices=("average_and_max", "average", "max"),
    ),
)


COLUMN_ENCODER: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "architecture",
        "categorical",
        "resnet",
        "Layers on the columns: dense ones, residual blocks, or a transformer over the columns.",
        choices=("mlp", "resnet", "transformer"),
    ),
    Hyperparameter(
        "number_embedding",
        "categorical",
        "periodic",
        "Embedding of each of the first 128 dense columns, numbers before categories: none, or sines and cosines of "
        "trained frequencies behind a linear layer.",
        choices=("none", "periodic"),
    ),
    Hyperparameter(
        "frequencies", "int", 16, "Frequencies of each embedded number.", low=4, high=48, log=True, least=1, most=1_000
    ),
    Hyperparameter(
        "frequency_scale",
        "float",
        0.1,
        "Standard deviation of the initial frequencies, in waves per standard deviation of the column.",
        low=0.01,
        high=1.0,
        log=True,
        least=1e-6,
        most=1e6,
    ),
    Hyperparameter("number_dim", "int", 8, "Width of each embedded number.", low=4, high=24, least=1, most=1_000),
    Hyperparameter("depth", "int", 2, "Layers or blocks.", low=1, high=4, least=1, most=100),
    Hyperparameter(
        "units",
        "int",
        128,
        "Width of the layers.",
        low=32,
        high=256,
        log=True,
        per_layer=True,
        least=1,
        most=100_000,
    ),
    Hyperparameter(
        "hidden_factor",
        "float",
        2.0,
        "Width inside a residual block, as a multiple of its units (resnet).",
        low=1.0,
        high=4.0,
        least=0.1,
        most=100.0,
    ),
    _HEADS,
)


def calculate_embedding_width(codes: int) -> int:
    """Return the embedding width for a column with this many codes: fastai's `emb_sz_rule`, at most 50."""
    return max(1, min(50, round(1.6 * float(codes**0.56))))


def prefix_parameters(
    prefix: str, parameters: Iterable[Hyperparameter], forms: tuple[str, ...], **defaults: Value
) -> tuple[Hyperparameter, ...]:
    """Return an encoder's parameters for a family with several encoders, `text_units` for `units`.

    Args:
        prefix: begin of their names.
        parameters: those of the encoder.
        forms: forms of features that the encoder reads.
        defaults: other defaults, by the names without the prefix.
    """
    return tuple(
        replace(each, name=f"{prefix}{each.name}", default=defaults.get(each.name, each.default), forms=forms)
        for each in parameters
    )
