"""Prepared data of a study: its description as plain values, and arrays on disk.

A worker process prepares the data once per study; trials map the arrays into memory. Preprocessed features have two
forms, and the description lists those that are present:

* a table or plain arrays: `dense` float32 [row, width], and `codes` int32 [row, column] for the columns that are
  embedded (the embedding is trained, so it belongs to the model and not to the preprocessing);
* images: `image` float32 [row, height, width, channel], which may be bytes on the disk (`examples.picture_rows`);
* a series: `series` float32 [row, time, channel];
* each column of text: `text_1`, `text_2`, ... int32 [row, word], 0 after the last word and 1 for an unknown one.

A user model may take its examples as they were given, of any form: then `DataSummary.given` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.data.examples.example_form import ExampleForm
from pipelines.data.report import DataReport
from pipelines.data.window_facts import WindowChannel, WindowFacts
from search_spaces.safe_text import escape_controls
from tracking.mlflow.cell_values import PLAIN, CellForm

TaskKind = Literal[
    "binary", "multiclass", "multi_label", "regression", "multi_output_regression", "multi_task", "custom"
]
"""Kind of prediction; `multi_task` where several targets have a task and a head of the model each, `custom` where
targets go to a user model as they were given."""
RARE_SHARE = 0.05
"""Share of a class below which accuracy means little."""
InputKind = Literal["dense", "image", "pixels", "series", "mixed", "any"]
"""Form of features that a model takes: "pixels" are images from 0 to 255, not standardised; "mixed" is the data's own
form, preprocessed; "any" leaves the data as it is."""
Shuffle = Literal["rows", "blocks"]
"""How rows on disk are mixed in an epoch: each by itself, or in blocks that lie together."""
DIGEST_PREFIX = "streamed-"
"""Beginning of a streamed table's digest, which is of other values than that of a table in memory."""
PICTURES: tuple[InputKind, ...] = ("image", "pixels")
HEAD_PREFIX = "y."
"""Beginning of the name of an array with one of several targets, before the name of its output."""


@dataclass(frozen=True)
class Task:
    """The prediction task.

    Attributes:
        kind: binary and multiclass targets are int32 [row] class indexes; multi-label ones float32 [row, label] of 0
            and 1; those of a regression float32 [row, output]; those of several tasks a dict of these by output.
        classes: class names in index order; empty for labels and a regression. With `custom` the distinct values of the
            target where these are few.
        targets: names of the target columns, or of the labels.
        target_mean: mean of the training rows per output, to scale back by; all 0 where the target is not scaled.
        target_scale: standard deviation likewise; all 1 where the target is not scaled.
        class_counts: training rows per class, in index order; empty for regression.
        is_weighted: whether rows have weights.
        default_metric: metric that scores trials where the study file names none; empty for that of the kind.
        heads: task of each target where they have one each, in the order of the model's outputs; empty otherwise.
        output: name of the model's output for the target, of a task among `heads`; empty otherwise.
    """

    kind: TaskKind
    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    target_mean: tuple[float, ...] = ()
    target_scale: tuple[float, ...] = ()
    class_counts: tuple[int, ...] = ()
    is_weighted: bool = False
    heads: tuple[Task, ...] = ()
    output: str = ""
    default_metric: str = ""

    @property
    def has_rare_class(self) -> bool:
        """Return whether accuracy means little, since a class is rare among the training rows."""
        return has_rare_class(self.class_counts)

    @property
    def activation(self) -> Literal["sigmoid", "softmax"] | None:
        """Activation of a family's prediction; None for a regression."""
        if self.kind in ("binary", "multi_label"):
            return "sigmoid"
        return "softmax" if self.kind == "multiclass" else None

    @property
    def outputs(self) -> int:
        """Width of the model's output: 1 for binary, the number of classes or of target columns otherwise.

        0 for a custom task, where the user model decides it.
        """
        if self.kind == "custom":
            return 0
        if self.heads:
            return sum(head.outputs for head in self.heads)
        if self.kind == "binary":
            return 1
        return len(self.classes) if self.kind == "multiclass" else len(self.targets)

    def with_weights(self, *, is_weighted: bool) -> Task:
        """Return the task of rows that have weights, or have none."""
        heads = tuple(head.with_weights(is_weighted=is_weighted) for head in self.heads)
        return replace(self, is_weighted=is_weighted, heads=heads)

    def list_heads(self) -> list[Task]:
        """Return the heads in the order of the targets, as the study file names them."""
        return sorted(self.heads, key=lambda head: self.targets.index(head.targets[0]))

    def describe(self) -> str:
        """Return kind, targets and number of classes in one phrase.

        >>> Task("multi_task", ("a", "b"), heads=(Task("regression", ("a",)), Task("binary", ("b",), ("n", "y"))))\
        .describe()
        'multi_task: regression on a; binary on b, 2 classes'
        """
        if self.heads:
            return f"{self.kind}: {'; '.join(head.describe() for head in self.list_heads())}"
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"{self.kind} on {', '.join(self.targets)}{classes}"

    def to_metadata(self) -> dict[str, Any]:
        """Return kind, classes and targets as plain values, as a model's metadata in MLflow has them."""
        heads = [{"output": head.output, **head.to_metadata()} for head in self.heads]
        plain = {"kind": self.kind, "classes": list(self.classes), "targets": list(self.targets)}
        return {**plain, "heads": heads} if heads else plain

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Task:
        """Return a task from the JSON form of `dataclasses.asdict`, of this version or an earlier one."""
        names = ("targets", "classes", "target_mean", "target_scale", "class_counts")
        lists: dict[str, Any] = {name: tuple(read.get(name, ())) for name in names}
        # Earlier versions stored no metric: they scored two classes by their counts, and others by accuracy.
        of_counts = choose_default_metric(lists["class_counts"]) if read["kind"] == "binary" else ""
        return cls(
            kind=read["kind"],
            **lists,
            default_metric=read.get("default_metric", of_counts),
            is_weighted=read.get("is_weighted", False),
            heads=tuple(cls.from_json(head) for head in read.get("heads", ())),
            output=read.get("output", ""),
        )


def has_rare_class(counts: Sequence[int]) -> bool:
    """Return whether one of a few classes has less than one training row in twenty.

    Many classes are rare each, without one that outweighs the others.
    """
    total = sum(counts)
    return total > 0 and min(counts) < RARE_SHARE * total and min(counts) * len(counts) < total / 4


def choose_default_metric(counts: Sequence[int]) -> str:
    """Return the metric that scores trials by default, given the training rows of each class; empty for the kind's.

    Who never predicts a rare class has a high accuracy. The area under the curve of each class against the rest does
    not depend on its share, has no threshold, and of several classes each counts alike.
    """
    return "auc" if has_rare_class(counts) else ""


@dataclass(frozen=True)
class Features:
    """Inputs of the core model, after preprocessing.

    Attributes:
        dense: width of the `dense` input; 0 where there is none.
        codes: per embedded column its input's name and number of codes (code 0 is "unknown from training").
        image: height, width, channels of the `image` input; None where there is none.
        series: time steps and channels of the `series` input; None where there is none.
        text: per column of text its input's name, number of words kept and size of the vocabulary, with 0 (no word)
            and 1 (unknown from training).
        past: per target of a forecast the channel of `series` that holds its past; empty for other data.
    """

    dense: int = 0
    codes: tuple[tuple[str, int], ...] = ()
    image: tuple[int, int, int] | None = None
    series: tuple[int, int] | None = None
    text: tuple[tuple[str, int, int], ...] = ()
    past: tuple[int, ...] = ()


@dataclass(frozen=True)
class RawColumn:
    """One raw input of the exported model: a table column, or a whole array (`features`, `image`).

    Attributes:
        name: the input's name in the exported model: the column's name if it is letters, digits and underscores,
            a cleaned one otherwise (TensorFlow's signatures refuse other names).
        kind: numeric, boolean, string, date, image, number_list or word_list for a column; array or image otherwise.
        shape: shape of one row; () for a column of single values.
        dtype: type of the exported model's input: float32 or string. A numeric, boolean (0 or 1) or missing value is
            float32, missing being NaN; a date is float32 days since 1970-01-01 UTC; a missing string is "".
        column: the column's name in the source.
        header: that name as the file has it, where it has blanks around.
        form: form of the column's cells in a text file.
    """

    name: str
    kind: Literal["numeric", "boolean", "string", "date", "number_list", "word_list", "array", "image"]
    shape: tuple[int, ...]
    dtype: Literal["float32", "string"]
    column: str = ""
    header: str = ""
    form: CellForm = PLAIN


def list_channels(summary: DataSummary, name: str) -> tuple[WindowChannel, ...]:
    """Return the channels of a raw input that holds the numbers of windows, in their order; none for other inputs."""
    if summary.windows is None:
        return ()
    return tuple(each for each in summary.windows.channels if each.input == name and not each.is_words)


@dataclass(frozen=True)
class DataSummary:
    """Summary of a study's prepared data: plain values only, so that it can be sent between processes.

    Attributes:
        rows: number of rows per part: train, validation, test (0 where there is none); of fold 0 with folds.
        folds: number of folds; 1 without cross-validation.
        digest: SHA-256 over the raw values and the split, hex.
        encodings: per raw column a description of its encoding.
        notes: choices made for the user, such as a column left out.
        given: form of examples that go to a user model unchanged; None for preprocessed data.
        report: columns, target and parts in figures; None in summaries that tests make by hand.
        windows: facts of windows of a table of series; None for other data.
        streaming: how rows are mixed that trainings read batch by batch from disk; "" where they may be in memory.
        unreached: of the notes, those on addresses that could not be reached at the last look at the data.
    """

    source: str
    task: Task
    features: Features
    raw: tuple[RawColumn, ...]
    rows: Mapping[str, int]
    folds: int
    digest: str
    encodings: Mapping[str, str]
    notes: tuple[str, ...] = ()
    given: ExampleForm | None = None
    report: DataReport | None = None
    windows: WindowFacts | None = None
    streaming: Shuffle | Literal[""] = ""
    unreached: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Notes quote words of the data, and go to terminals, logs and pages.
        for name in ("notes", "unreached"):
            object.__setattr__(self, name, tuple(map(escape_controls, getattr(self, name))))

    def describe_task(self) -> str:
        """Return the kind of prediction and the targets in one phrase."""
        if self.task.kind == "custom" and self.given is not None:
            return self.given.describe_targets()
        return self.task.describe()
