"""Hyperparameters of a fleet's members as arrays: the inputs of a program that differ between trials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from pipelines.models.catalogue import find_family
from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.optimizer_catalogue import OPTIMIZERS
from pipelines.models.schedules import build_schedule
from pipelines.training.batches import shuffle_rows
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.member import Member
from pipelines.training.fleet.optimizers import CLIP_BRANCHES
from pipelines.training.fleet.program import Program
from search_spaces.hyperparameters import TrialHyperParameters

Plan = dict[str, npt.NDArray[Any]]
"""The steps of an epoch; see `plan_epoch`."""


def make_numbers(program: Program, member: Member) -> dict[str, Any]:
    """Return a member's numbers by name, for `Network`, `Optimizers` and `Program`."""
    envelope = program.envelope
    arguments = {name: np.float32(member.arguments.get(name, 0.0)) for name in program.optimizers.arguments}
    return {
        "depth": np.int32(member.depth),
        **_make_layer_numbers(envelope, member),
        **(_make_block_numbers(envelope, member) if envelope.has_blocks else {}),
        "use_bias": np.float32(member.use_bias),
        "normalized": np.bool_(member.normalized),
        "l1": np.float32(member.l1),
        "l2": np.float32(member.l2),
        "label_smoothing": np.float32(member.label_smoothing),
        "optimizer": np.int32(program.optimizers.index(member.optimizer)),
        "arguments": arguments,
        "clip": np.int32(CLIP_BRANCHES.index(member.clip)),
        "clip_threshold": np.float32(member.clip_threshold),
        "averaged": np.bool_(member.ema is not None),
        "ema_momentum": np.float32(member.ema or 0.0),
    }


def _make_layer_numbers(envelope: Envelope, member: Member) -> dict[str, Any]:
    """Return the numbers of a program's hidden layers [layer, ...]."""
    layers = envelope.layers
    units = np.zeros((max(1, len(layers)), max(envelope.width, envelope.dense)), bool)
    for layer in layers:
        units[layer.index, : layer.count_units(member)] = True
    # A block's dropout follows its last place, which a trial with fewer convolutions does not have.
    at = [layer.find_values_at(member) if layer.block <= member.depth else None for layer in layers] or [None]
    activations = [0 if n is None else envelope.activations.index(member.activations[n]) for n in at]
    return {
        "exists": np.asarray(units.any(axis=1)),
        "units": units,
        "activation": np.asarray(activations, np.int32),
        "dropout": np.asarray([0.0 if n is None else member.dropout[n] for n in at], np.float32),
    }


def _make_block_numbers(envelope: Envelope, member: Member) -> dict[str, Any]:
    sizes = [
        envelope.kernel_sizes.index(member.kernel_sizes[layer.find_values_at(member)]) for layer in envelope.layers
    ]
    return {
        "kernel_size": np.asarray(sizes, np.int32),
        "pooling": np.int32(envelope.poolings.index(member.pooling)),
        "global_pooling": np.int32(envelope.global_poolings.index(member.global_pooling)),
    }


def compute_learning_rates(member: Member, per_layer: frozenset[str], train_rows: int) -> npt.NDArray[np.float32]:
    """Return the learning rate of each optimizer step [step] of a whole training."""
    steps = math.ceil(train_rows / member.batch_size)
    hp = TrialHyperParameters(member.values)
    requests = HyperparameterRequests(hp, find_family(member.family), per_layer)
    rate = requests.get_value("learning_rate", OPTIMIZERS[member.optimizer.name]["learning_rate"][1])
    schedule = build_schedule(requests, rate, steps, member.epochs)
    total = steps * member.epochs
    if not callable(schedule):
        return np.full(total, schedule, np.float32)
    # The whole training at once: the program needs no code for schedules.
    rates: npt.NDArray[np.float32] = np.asarray(schedule(ops.arange(total)), np.float32)
    return rates


def plan_epoch(
    batch_size: int, step_rows: int, seed: int, epoch: int, rates: npt.NDArray[np.float32], rows: int
) -> Plan:
    """Return the steps of one epoch of a trial.

    Args:
        batch_size: the trial's.
        step_rows: rows of a step.
        seed: the trial's.
        epoch: counted from 0.
        rates: learning rate of each batch of the epoch [batch].
        rows: number of training rows.

    Returns:
        For each step: `rows` [step, place], where the number of rows means "none"; `first`, the place in the batch of
        its first row; `batch_rows`, the rows of its batch; `last`, whether its batch ends with it; `rate`.
    """
    order = shuffle_rows(seed, epoch, rows)
    whole, rest = divmod(rows, batch_size)
    each = math.ceil(batch_size / step_rows)
    sizes = [(batch_size, each)] * whole + [(rest, math.ceil(rest / step_rows))] * (rest > 0)
    # The number of rows is the index of the empty row that `Program` puts behind the data.
    chosen = np.full((whole, each * step_rows), rows, np.int32)
    chosen[:, :batch_size] = order[: whole * batch_size].reshape(whole, batch_size)
    final = np.full(math.ceil(rest / step_rows) * step_rows, rows, np.int32)
    final[:rest] = order[whole * batch_size :]
    steps = [step for _, count in sizes for step in range(count)]
    counts = [count for _, count in sizes]
    return {
        "rows": np.concatenate([chosen.reshape(-1), final]).reshape(-1, step_rows),
        "first": np.asarray(steps, np.int32) * step_rows,
        "batch_rows": np.repeat(np.asarray([size for size, _ in sizes], np.float32), counts),
        "last": np.asarray([step == count - 1 for _, count in sizes for step in range(count)]),
        "rate": np.repeat(rates, counts),
    }
