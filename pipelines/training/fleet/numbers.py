"""Members as arrays: what differs between the trials of a fleet while its program stays the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from pipelines.models.catalogue import family
from pipelines.models.optimizer_catalogue import OPTIMIZERS
from pipelines.models.questions import Questions
from pipelines.models.schedules import build_schedule
from pipelines.training.batches import batch_order
from pipelines.training.fleet.member import FAMILY, Member
from pipelines.training.fleet.optimizing import CLIP_BRANCHES
from pipelines.training.fleet.program import Program
from search_spaces.hyperparameters import GivenHyperParameters


def numbers_of(program: Program, member: Member) -> dict[str, Any]:
    """Return a member's numbers, as `Network`, `Optimizers` and `Program` take them by name."""
    envelope = program.envelope
    depth, layers = member.depth, max(1, envelope.depth)
    units = np.zeros((layers, envelope.width), bool)
    for layer, width in enumerate(member.units):
        units[layer, :width] = True
    activations = [envelope.activations.index(name) for name in member.activations]
    arguments = {name: np.float32(member.arguments.get(name, 0.0)) for name in program.optimizers.arguments}
    return {
        "depth": np.int32(depth),
        "units": units,
        "activation": np.asarray([*activations, *[0] * (layers - depth)], np.int32),
        "dropout": np.asarray([*member.dropout, *[0.0] * (layers - depth)], np.float32),
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


def learning_rates(member: Member, per_layer: frozenset[str], train_rows: int) -> npt.NDArray[np.float32]:
    """Return the learning rate of each optimizer step [step] of a whole training."""
    steps = math.ceil(train_rows / member.batch_size)
    hp = GivenHyperParameters(member.values)
    questions = Questions(hp, family(FAMILY), per_layer)
    rate = questions.ask("learning_rate", OPTIMIZERS[member.optimizer.name]["learning_rate"][1])
    schedule = build_schedule(questions, rate, steps, member.epochs)
    total = steps * member.epochs
    if not callable(schedule):
        return np.full(total, schedule, np.float32)
    rates: npt.NDArray[np.float32] = np.asarray(schedule(ops.arange(total)), np.float32)
    return rates


def epoch_rows(program: Program, member: Member, seed: int, epoch: int) -> npt.NDArray[np.int32]:
    """Return which rows make which batch of an epoch [step, place]; the number of rows says "none"."""
    size = program.envelope.batch
    calls = math.ceil(program.steps / program.steps_at_once)
    chosen: npt.NDArray[np.int32] = np.full((calls * program.steps_at_once, size), program.rows, np.int32)
    order = batch_order(seed, epoch, program.rows)
    whole = len(order) // member.batch_size
    cut = whole * member.batch_size
    chosen[:whole, : member.batch_size] = order[:cut].reshape(whole, member.batch_size)
    if cut < len(order):
        chosen[whole, : len(order) - cut] = order[cut:]
    return chosen
