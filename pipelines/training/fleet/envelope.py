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
        least_depth: fewest hidden layers: a program computes so many without a branch.
        width: units of every hidden layer; a narrower trial's further units are masked.
        batch: rows of a step; a trial with smaller batches leaves the further ones empty.
        least_batch: smallest batch size, which decides the number of steps.
        embedding: most columns that a trial sets for an embedded column; 0 where none does.
        ruled: whether a trial may have the default width of `embedding_width` instead.
        activations, optimizers: the branches, in order.
        normalized, dropout, l1, l2, smoothing, clipped, averaged: whether a trial may have batch normalisation,
            dropout, each penalty, label smoothing, a gradient clip, averaged weights.
        kernel_size, global_pooling: of every trial; see `Member`.
    """

    depth: int
    least_depth: int
    width: int
    batch: int
    least_batch: int
    embedding: int
    ruled: bool
    activations: tuple[str, ...]
    optimizers: tuple[OptimizerKind, ...]
    normalized: bool
    dropout: bool
    l1: bool
    l2: bool
    smoothing: bool
    clipped: bool
    averaged: bool
    kernel_size: int = 0
    global_pooling: str = ""

    @property
    def linear(self) -> bool:
        """Return whether a trial may have no hidden layer."""
        return self.least_depth == 0

    def holds(self, member: Member) -> bool:
        """Return whether this program can train a trial."""
        return (
            (self.kernel_size, self.global_pooling) == (member.kernel_size, member.global_pooling)
            and self.least_depth <= member.depth <= self.depth
            and member.width <= self.width
            and self.least_batch <= member.batch_size <= self.batch
            and (member.embedding > 0 or self.ruled)
            and member.embedding <= self.embedding
            and set(member.activations) <= set(self.activations)
            and member.optimizer in self.optimizers
            and (self.normalized or not member.normalized)
            and (self.dropout or not any(member.dropout))
            and (self.l1 or not member.l1)
            and (self.l2 or not member.l2)
            and (self.smoothing or not member.label_smoothing)
            and (self.clipped or member.clip == "none")
            and (self.averaged or member.ema is None)
        )


def find_envelope(members: Iterable[Member]) -> Envelope:
    """Return the smallest envelope that holds all of some trials, at least one; their convolutions are alike."""
    all_of = list(members)
    return Envelope(
        depth=max(member.depth for member in all_of),
        least_depth=min(member.depth for member in all_of),
        width=max(member.width for member in all_of),
        batch=max(member.batch_size for member in all_of),
        least_batch=min(member.batch_size for member in all_of),
        embedding=max(member.embedding for member in all_of),
        ruled=any(member.embedding == 0 for member in all_of),
        activations=tuple(sorted({name for member in all_of for name in member.activations})),
        optimizers=tuple(sorted({member.optimizer for member in all_of})),
        normalized=any(member.normalized for member in all_of),
        dropout=any(any(member.dropout) for member in all_of),
        l1=any(member.l1 > 0 for member in all_of),
        l2=any(member.l2 > 0 for member in all_of),
        smoothing=any(member.label_smoothing > 0 for member in all_of),
        clipped=any(member.clip != "none" for member in all_of),
        averaged=any(member.ema is not None for member in all_of),
        kernel_size=all_of[0].kernel_size,
        global_pooling=all_of[0].global_pooling,
    )


def merge_envelopes(one: Envelope, other: Envelope) -> Envelope:
    """Return the smallest envelope that holds what either of two holds; the convolutions of both are alike."""
    found: dict[str, Any] = {}
    for name, ours in vars(one).items():
        theirs = getattr(other, name)
        if isinstance(ours, tuple):
            found[name] = tuple(sorted({*ours, *theirs}))
        else:
            # Of two Booleans, `max` is "or".
            found[name] = min(ours, theirs) if name.startswith("least_") else max(ours, theirs)
    return Envelope(**found)
