"""Envelope of a group of trials: the sizes and the branches of the program that they share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pipelines.training.fleet.image_sizes import count_vector, list_image_sizes
from pipelines.training.fleet.member import Member, OptimizerKind


@dataclass(frozen=True)
class HiddenLayer:
    """A place for a layer of a program, which some of its trials have.

    Attributes:
        index: its place among the program's layers, from 0.
        block: number of the layer, or of its block of convolutions, from 1; 0 of the dense layer behind the blocks.
        position: number of the convolution in its block, from 1.
        name: end of its arrays' names.
        stock_name: name of the stock model's layer.
        width: most units.
    """

    index: int
    block: int
    position: int
    name: str
    stock_name: str
    width: int

    def count_units(self, member: Member) -> int:
        """Return the units of a trial's layer; 0 where it has no such layer."""
        if self.block == 0:
            return member.dense_units
        exists = self.block <= member.depth and self.position <= member.convolutions
        return member.units[self.block - 1] if exists else 0

    def find_values_at(self, member: Member) -> int:
        """Return which of a trial's values of each layer is this layer's; the last one where it has no such layer."""
        # The dense layer behind the blocks has the last block's.
        return max(0, min(self.block or member.depth, member.depth) - 1)


@dataclass(frozen=True)
class Envelope:
    """Static part of a fleet's program; trials within it differ in numbers only.

    Attributes:
        depth: most hidden layers, or blocks of convolutions.
        least_depth: fewest hidden layers: a program computes so many without a branch.
        width: units of every hidden layer; a narrower trial's further units are masked.
        batch: rows of a step; a trial with smaller batches leaves the further ones empty.
        least_batch: smallest batch size, which decides the number of steps.
        embedding: most columns that a trial sets for an embedded column; 0 where none does.
        ruled: whether a trial may have the default width of `embedding_width` instead.
        activations, optimizers: the branches, in order.
        normalized, dropout, l1, l2, smoothing, clipped, averaged: whether a trial may have batch normalisation,
            dropout, each penalty, label smoothing, a gradient clip, averaged weights.
        kernel_sizes, poolings, global_poolings: the branches of blocks of convolutions; empty where layers are dense.
        convolutions, least_convolutions: most and fewest convolutions in a block.
        dense, least_dense: most and fewest units of a dense layer behind the blocks.
        strided: number of the convolution in each block that halves its image; 0 = pooling does.
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
    kernel_sizes: tuple[int, ...] = ()
    convolutions: int = 1
    least_convolutions: int = 1
    poolings: tuple[str, ...] = ()
    global_poolings: tuple[str, ...] = ()
    dense: int = 0
    least_dense: int = 0
    strided: int = 0

    @property
    def linear(self) -> bool:
        """Return whether a trial may have no hidden layer."""
        return self.least_depth == 0

    @property
    def has_blocks(self) -> bool:
        """Return whether layers are blocks of convolutions."""
        return bool(self.kernel_sizes)

    @property
    def layers(self) -> tuple[HiddenLayer, ...]:
        """Return the hidden layers in the order of the stock model's, the one behind the blocks last."""
        if not self.has_blocks:
            numbers = range(1, self.depth + 1)
            return tuple(HiddenLayer(n - 1, n, 1, f"{n}", f"dense_{n}", self.width) for n in numbers)
        places = [(b, p) for b in range(1, self.depth + 1) for p in range(1, self.convolutions + 1)]
        found = [
            HiddenLayer(index, b, p, f"{b}_{p}", f"convolution_{b}_{p}", self.width)
            for index, (b, p) in enumerate(places)
        ]
        return (*found, *([HiddenLayer(len(found), 0, 1, "dense", "dense", self.dense)] if self.dense else []))

    def list_image_sizes(self, image: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return height and width of an image [height, width, channel], and of what each block makes of it."""
        return list_image_sizes(image, self.depth, strided=self.strided > 0)

    def count_vector(self, image: tuple[int, ...]) -> int:
        """Return the most numbers of the vector that blocks leave of an image [height, width, channel]."""
        # The fewest blocks leave the most pixels.
        return max(
            count_vector(image, self.least_depth, self.width, each, strided=self.strided > 0)
            for each in self.global_poolings
        )

    def count_patch_numbers(self, image: tuple[int, ...]) -> int:
        """Return the most numbers that the patches of one image take in a block, or its output if that takes more."""
        channels = [image[-1], *[self.width] * (self.depth - 1)]
        if self.convolutions > 1:
            channels = [max(each, self.width) for each in channels]
        return max(
            height * width * max(max(self.kernel_sizes) ** 2 * channel, self.width)
            for (height, width), channel in zip(self.list_image_sizes(image), channels, strict=False)
        )

    def narrow(self, member: Member) -> Envelope:
        """Return the part of the program that one of its trials computes where members train one by one."""
        return replace(
            self,
            depth=member.depth,
            kernel_sizes=(max(member.kernel_sizes),) if member.kernel_sizes else (),
            convolutions=member.convolutions,
            dense=self.dense if member.dense_units else 0,
        )

    def holds(self, member: Member) -> bool:
        """Return whether this program can train a trial."""
        return (
            (self.has_blocks, self.strided) == (bool(member.kernel_sizes), member.strided)
            and set(member.kernel_sizes) <= set(self.kernel_sizes)
            and self.least_convolutions <= member.convolutions <= self.convolutions
            and (not member.pooling or member.pooling in self.poolings)
            and (not member.global_pooling or member.global_pooling in self.global_poolings)
            and self.least_dense <= member.dense_units <= self.dense
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


def is_alike(one: Envelope, other: Envelope) -> bool:
    """Return whether the trials of two envelopes can share a program: their images have the same sizes."""
    return (one.has_blocks, one.strided) == (other.has_blocks, other.strided)


def divide_by_kind(members: Iterable[Member]) -> list[tuple[Member, ...]]:
    """Return the trials that can share a program together, in the order in which each kind came first."""
    kinds: dict[tuple[bool, int], list[Member]] = {}
    for member in members:
        kinds.setdefault((bool(member.kernel_sizes), member.strided), []).append(member)
    return [tuple(kind) for kind in kinds.values()]


def find_envelope(members: Iterable[Member]) -> Envelope:
    """Return the smallest envelope that holds all of some trials of a kind, at least one."""
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
        kernel_sizes=tuple(sorted({size for member in all_of for size in member.kernel_sizes})),
        convolutions=max(member.convolutions for member in all_of),
        least_convolutions=min(member.convolutions for member in all_of),
        poolings=tuple(sorted({member.pooling for member in all_of} - {""})),
        global_poolings=tuple(sorted({member.global_pooling for member in all_of} - {""})),
        dense=max(member.dense_units for member in all_of),
        least_dense=min(member.dense_units for member in all_of),
        strided=all_of[0].strided,
    )


def merge_envelopes(one: Envelope, other: Envelope) -> Envelope:
    """Return the smallest envelope that holds what either of two of a kind holds."""
    found: dict[str, Any] = {}
    for name, ours in vars(one).items():
        theirs = getattr(other, name)
        if isinstance(ours, tuple):
            found[name] = tuple(sorted({*ours, *theirs}))
        else:
            # Of two Booleans, `max` is "or".
            found[name] = min(ours, theirs) if name.startswith("least_") else max(ours, theirs)
    return Envelope(**found)
