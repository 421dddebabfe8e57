"""Envelope of a group of trials: the sizes and the branches of the program that they share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipelines.training.fleet.member import Member, OptimizerKind


@dataclass(frozen=True)
class Envelope:
    """Static part of a fleet's program; trials within it differ in numbers only.

    Attributes:
        depth: most hidden layers.
        width: units of every hidden layer; a narrower trial's further units are masked.
        batch: rows of a step; a trial with smaller batches leaves the further ones empty.
        least_batch: smallest batch size, which decides the number of steps.
        embedding: most columns that a trial sets for an embedded column; 0 where none does.
        ruled: whether a trial may have the default width of `embedding_width` instead.
        activations, optimizers: the branches, in order.
        linear: whether a trial may have no hidden layer.
        normalized, dropout, penalty, smoothing, clipped, averaged: whether a trial may have batch normalisation,
            dropout, L1 or L2, label smoothing, a gradient clip, averaged weights.
    """

    depth: int
    width: int
    batch: int
    least_batch: int
    embedding: int
    ruled: bool
    activations: tuple[str, ...]
    optimizers: tuple[OptimizerKind, ...]
    linear: bool
    normalized: bool
    dropout: bool
    penalty: bool
    smoothing: bool
    clipped: bool
    averaged: bool

    def holds(self, member: Member) -> bool:
        """Return whether this program can train a trial."""
        return (
            member.depth <= self.depth
            and (member.depth > 0 or self.linear)
            and member.width <= self.width
            and self.least_batch <= member.batch_size <= self.batch
            and (member.embedding > 0 or self.ruled)
            and member.embedding <= self.embedding
            and set(member.activations) <= set(self.activations)
            and member.optimizer in self.optimizers
            and (self.normalized or not member.normalized)
            and (self.dropout or not any(member.dropout))
            and (self.penalty or not (member.l1 or member.l2))
            and (self.smoothing or not member.label_smoothing)
            and (self.clipped or member.clip == "none")
            and (self.averaged or member.ema is None)
        )


def find_envelope(members: Iterable[Member]) -> Envelope:
    """Return the smallest envelope that holds all of some trials; at least one."""
    all_of = list(members)
    return Envelope(
        depth=max(member.depth for member in all_of),
        width=max(member.width for member in all_of),
        batch=max(member.batch_size for member in all_of),
        least_batch=min(member.batch_size for member in all_of),
        embedding=max(member.embedding for member in all_of),
        ruled=any(member.embedding == 0 for member in all_of),
        activations=tuple(sorted({name for member in all_of for name in member.activations})),
        optimizers=tuple(sorted({member.optimizer for member in all_of})),
        linear=any(member.depth == 0 for member in all_of),
        normalized=any(member.normalized for member in all_of),
        dropout=any(any(member.dropout) for member in all_of),
        penalty=any(member.l1 > 0 or member.l2 > 0 for member in all_of),
        smoothing=any(member.label_smoothing > 0 for member in all_of),
        clipped=any(member.clip != "none" for member in all_of),
        averaged=any(member.ema is not None for member in all_of),
    )


def merge_envelopes(one: Envelope, other: Envelope) -> Envelope:
    """Return the smallest envelope that holds what either of two holds."""
    found: dict[str, Any] = {}
    for name, ours in vars(one).items():
        theirs = getattr(other, name)
        if isinstance(ours, tuple):
            found[name] = tuple(sorted({*ours, *theirs}))
        else:
            # Of two Booleans, `max` is "or".
            found[name] = min(ours, theirs) if name == "least_batch" else max(ours, theirs)
    return Envelope(**found)
