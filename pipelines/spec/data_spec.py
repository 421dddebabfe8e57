"""The study file's section `data`: the source, its columns, and the split of its rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from pipelines.spec.section import Section
from pipelines.spec.source_urls import explain_refused_url
from search_spaces.errors import suggest_choice
from search_spaces.values import describe

_Pixels = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1)]
Source = _Name | Annotated[list[_Name], Field(min_length=1)]
"""One file or reference, or a list of files."""
SourceKey = Literal["source", "validation_source", "test_source"]
SOURCE_KEYS: tuple[SourceKey, ...] = ("source", "validation_source", "test_source")
WHITESPACE = r"\s+"
"""The mark of fields that any number of blanks or tabs divide."""
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
DecimalMark = Literal[".", ","]
ThousandsMark = Literal["", ".", ",", " ", "'", "_"]
HeadTask = Literal["binary", "multiclass", "regression"]
"""Task of one of several targets."""
_LATER_KEYS = ("quote", "skipfooter")
OF_TARGETS = ("decimal", "thousands", "replace")
"""Settings of `data.columns` that a target column may have."""


class SplitSpec(Section):
    """The split of the rows. Choose one way: shares, separate files, a split column, or folds.

    Shares and folds go at random through the rows, in the order of a column, or by groups.
    """

    validation: Share = Field(0.2, description="Share of the rows used for validation, which trials are scored on.")
    test: Share = Field(0.1, description="Share of the rows held out for the winner alone.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the division; the same seed gives the same rows.")
    stratify: bool = Field(True, description="Keep class shares equal in every part (classification only).")
    column: str | None = Field(
        None,
        description="Column that holds `train`, `validation` or `test` for each row; overrides the shares.",
    )
    folds: int | None = Field(
        None, ge=2, le=50, description="Score each trial as the mean over this many cross-validation folds."
    )

    order: str | None = Field(
        None,
        description="Column of numbers or dates that the rows are ordered by, such as time: the last rows are the test "
        "part, those before them validation rows. A fold is trained on earlier rows than it validates.",
    )
    gap: int = Field(
        0, ge=0, description="Number of distinct values of `order` that are left out before validation and test rows."
    )
    group: str | None = Field(
        None, description="Column of groups, such as a patient: all rows of a group are in one part. It is no feature."
    )

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if self.column is not None and self.folds is not None:
            raise ValueError("expected either column or folds, got both; remove one")
        ways = [name for name in ("column", "order", "group") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(f"expected one of {' or '.join(ways)}, got both; remove one")
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must be below 1 to leave rows for training, got {self.validation + self.test:g}"
            )
        if self.folds is None and self.column is None and self.validation == 0:
            raise ValueError("validation must be above 0: trials are scored on validation rows")
        return self


class ColumnSpec(Section):
    """Settings of one column that replace the inferred ones."""

    type: Literal["numeric", "boolean", "string", "date", "text", "image", "list"] | None = Field(
        None,
        description="Type of the column; inferred from its values when left out. A string is a category, text is read "
        "word by word, an image is the path of a picture from the table's folder, a list holds numbers or words.",
    )
    encoding: Literal["one_hot", "embedding", "hash"] | None = Field(
        None,
        description="Encoding of a string column; chosen by its number of categories when left out. `one_hot` makes "
        "the numbers of a list categories.",
    )
    length: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Words of a text column that a model gets, from the first; enough for 95 % of the rows when left "
        "out, at most 512.",
    )
    vocabulary: int | None = Field(
        None,
        ge=3,
        le=1_000_000,
        description="Most words of a text column with a number of their own; 20,000 when left out.",
    )
    decimal: DecimalMark | None = Field(None, description="As `data.decimal`, for this column.")
    thousands: ThousandsMark | None = Field(None, description="As `data.thousands`, for this column.")
    dayfirst: bool | None = Field(None, description="As `data.dayfirst`, for this column.")
    format: str | None = Field(
        None,
        min_length=1,
        description='Form of the dates, as Python\'s `strptime` takes it, such as `"%d.%m.%Y"`; `%q` is a quarter. '
        'With `type: numeric` the clock of durations, `"%H:%M"` or `"%M:%S"`.',
    )
    unit: Literal["s", "ms", "us", "ns", "D", "excel"] | None = Field(
        None,
        description="Unit of numbers that are dates, as pandas has it: seconds (`s`) to nanoseconds (`ns`) or days "
        "(`D`) since 1970-01-01, or the day numbers of Excel (`excel`).",
    )
    replace: dict[str, str] = Field(
        default={}, description='Cells that stand for others, with these: `{"YES": "yes"}`. The target may have it too.'
    )

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        if self.unit is not None and self.format is not None:
            raise ValueError("expected either format or unit, got both; a unit is for numbers that are dates")
        return self

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        # A study without this key is that of versions that had none: it stays out of fingerprints.
        return written if self.unit is not None else {key: each for key, each in written.items() if key != "unit"}


class SeriesSpec(Section):
    """Windows of a table of time series, each with the rows after it as its target."""

    time: str = Field(min_length=1, description="Column of dates or numbers that orders the rows.")
    by: str | None = Field(None, description="Column that distinguishes several series, such as a shop.")
    by_input: bool = Field(
        False,
        description="Whether a model gets the name of a window's series as a category, so that it can learn a level "
        "for each. A series that training did not have counts as unknown.",
    )
    length: int = Field(
        ge=1, le=100_000, description="Rows of a window. The family `series` may search how many of them it uses."
    )
    horizon: int = Field(
        1,
        ge=0,
        le=10_000,
        description="Rows ahead that are predicted, one output each; 0 predicts the target at the window's last row "
        "from the other columns.",
    )
    stride: int = Field(1, ge=1, description="Rows from one window to the next.")
    known: list[str] = Field(
        default=[],
        description="Columns known ahead, such as a holiday: windows hold them for the horizon too. With the column of "
        "`time` among them they hold its place in the year, the week and the day.",
    )

    @model_validator(mode="after")
    def _check_by(self) -> Self:
        if self.by_input and self.by is None:
            raise ValueError("by_input needs the column that distinguishes series; set by, or remove by_input")
        return self

    @model_validator(mode="after")
    def _check_known(self) -> Self:
        if self.known and not self.horizon:
            raise ValueError("without a horizon nothing is known ahead; remove known, or set horizon")
        if self.known and self.horizon > self.length:
            raise ValueError(
                f"with known columns a window has the horizon's length at least; set length: {self.horizon}"
            )
        return self


class DataSpec(Section):
    """The data: its source, its columns and its split."""

    source: Source = Field(
        description="A .csv, .xlsx, .parquet, .jsonl, .npz or other file of rows, a list or pattern of files "
        "(`data/*.csv`), an image folder (one sub-folder a class), `sklearn:<name>`, `keras:<name>`, or "
        "`loader.py:function`. Paths are relative to the study file. A file, folder or pattern may be an address "
        "(`s3://`, `gs://`, `az://`, `https://`), which is fetched with credentials from the environment.",
    )
    streaming: Literal["auto"] | bool = Field(
        "auto",
        description="Whether the rows are read in pieces and stay on disk, where `false` reads all of them into "
        "memory. `auto`: where they would take more than `limits.memory`, or nine tenths of the machine's.",
    )
    header: Literal["auto", "first", "none"] = Field(
        "auto",
        description="Whether the first row of a text file or sheet holds the names of the columns. `none`: it is a row "
        "and the columns are `column_1`, `column_2`, ... unless `names` are given. `auto`: the rows below decide.",
    )
    names: list[str] = Field(
        default=[], description="Names of all columns, in their order, in place of those that a file has or lacks."
    )
    encoding: str | None = Field(
        None,
        description="Encoding of text files by Python's name, such as `cp1252`; UTF-8 where a file is that, else "
        "detected.",
    )
    sep: str | None = Field(
        None,
        description='The mark between the fields of text files, such as `";"` or `"\\t"`; `"\\s+"` for any number of '
        "blanks. Detected when left out.",
    )
    comment: str | None = Field(
        None, min_length=1, description='Lines of text files that begin with this are left out, such as `"#"`.'
    )
    quote: Literal['"', "'"] | None = Field(
        None, description="Mark around quoted fields of text files, `'\"'` or `\"'\"`; found when left out."
    )
    skiprows: int = Field(0, ge=0, description="Lines above the table in text files and sheets, such as a title.")
    skipfooter: int | None = Field(
        None,
        ge=0,
        description="Rows below the table in text files and sheets, such as totals. When left out, a last row that "
        "looks like totals is refused; 0 keeps it.",
    )
    sheet: str | None = Field(None, description="Sheet of an Excel file; the first when left out.")
    skip_broken: bool = Field(
        False,
        description="Leave out what cannot be read, with a note: broken pictures, lines with a field too many or few.",
    )
    preprocess: Literal["auto", "none", "dense"] = Field(
        "auto",
        description="What a model of yours gets. `none`: the data as it is, a table as a dict of its columns. `dense`: "
        "one standardised array. `auto`: a table as `dense`, all else as `none`. Shipped families need `auto` or "
        "`dense`.",
    )
    target: str | list[str] | None = Field(
        None,
        description="Target column or columns of a table; several give a multi-output regression, a multi-label task "
        "where all hold 0 and 1, or a head of the model for each where their tasks differ. A multi-label task may have "
        "one column of lists instead, such as `red|blue`.",
    )
    weight: str | None = Field(
        None,
        description="Column of a table with each row's weight in the loss and in weighted metrics. A loader returns "
        "(x, y, sample_weight) instead.",
    )
    validation_source: Source | None = Field(
        None, description="A separate file, or several as for `source`, with the validation rows."
    )
    test_source: Source | None = Field(None, description="A separate file, or several, with the test rows.")
    task: Literal["auto", "binary", "multiclass", "multi_label", "regression", "multi_output_regression"] = Field(
        "auto", description="Kind of prediction; inferred from the target when left at `auto`."
    )
    tasks: dict[str, HeadTask] = Field(
        default={},
        description="Task of single ones of several targets, such as `{price: regression, sold: binary}`; those left "
        "out are inferred. With this key each target has a head of the model.",
    )
    # Sections are frozen and may be shared; Pydantic copies defaults such as lists.
    split: SplitSpec = Field(default=SplitSpec(), description="Split of the rows.")
    series: SeriesSpec | None = Field(
        None, description="Makes windows of a table of rows in time, such as daily sales, and splits them in time."
    )
    drop: list[str] = Field(default=[], description="Columns to leave out, such as identifiers.")
    columns: dict[str, ColumnSpec] = Field(default={}, description="Settings of single columns.")
    decimal: DecimalMark | None = Field(
        None, description='Mark before the fraction of numbers in text, `"."` or `","`; found from the columns.'
    )
    thousands: ThousandsMark | None = Field(
        None, description='Mark between the thousands of numbers in text, such as `"."`; found from the columns.'
    )
    dayfirst: bool | None = Field(
        None, description="Whether dates such as 03/04/2020 have the day first; found where a day is above 12."
    )
    missing_values: list[str] | dict[str, list[str]] = Field(
        default=[],
        description='Strings that mean "missing" in addition to the empty field, such as `["?"]` for all feature '
        'columns, or for single columns: `{age: ["-1"]}`. The target has them only if it is named.',
    )
    drop_unlabelled: bool = Field(False, description="Leave out rows without a target, before the split.")
    drop_duplicates: bool = Field(
        False, description="Leave out rows that are equal to an earlier one in every column, before the split."
    )
    image_size: tuple[_Pixels, _Pixels] | None = Field(
        None, description="Height and width that pictures of an image folder or of a column are resized to."
    )
    scale_target: bool = Field(
        True,
        description="Train a regression on a standardised target; predictions are in the unit of the target.",
    )

    @field_validator("tasks")
    @classmethod
    def _check_tasks(cls, tasks: dict[str, HeadTask], info: ValidationInfo) -> dict[str, HeadTask]:
        if not tasks:
            return tasks
        target = info.data.get("target")
        if not isinstance(target, list) or len(target) < 2:
            raise ValueError("tasks are for several targets; list them as data.target, or set task for one")
        if unknown := [name for name in tasks if name not in target]:
            raise ValueError(f'"{unknown[0]}" is no target; {suggest_choice(unknown[0], target)}')
        if info.data.get("task", "auto") != "auto":
            raise ValueError("expected either task or tasks, got both; remove task, which is one for all targets")
        return tasks

    @field_validator("series")
    @classmethod
    def _check_one_task(cls, series: SeriesSpec | None, info: ValidationInfo) -> SeriesSpec | None:
        if series is not None and info.data.get("tasks"):
            raise ValueError("windows have one task; remove data.tasks, or make a study for each target")
        return series

    @model_validator(mode="after")
    def _check_series(self) -> Self:
        if self.series is None:
            return self
        if way := next((way for way in ("column", "order", "group") if getattr(self.split, way) is not None), None):
            raise ValueError(f"the windows of data.series are split in time; remove split.{way}")
        if self.weight is not None:
            raise ValueError("the windows of data.series have no weights; remove weight")
        return self

    @field_validator("source", "validation_source", "test_source")
    @classmethod
    def _check_addresses(cls, written: Source | None) -> Source | None:
        for each in [written] if isinstance(written, str) else written or []:
            if problem := explain_refused_url(each):
                raise ValueError(problem)
        return written

    @field_validator("image_size", mode="before")
    @classmethod
    def _read_pair(cls, written: object) -> object:
        if written is None:
            return None
        # YAML has lists only, and pydantic's strict mode refuses a list as a tuple.
        pair = tuple(written) if isinstance(written, (list, tuple)) else ()
        if len(pair) != 2 or not all(type(size) is int and size >= 1 for size in pair):
            shown = list(pair) if pair else describe(written)
            raise ValueError(f"expected height and width in pixels, such as [32, 32], got {shown}")
        return pair

    @field_validator("header", mode="before")
    @classmethod
    def _read_header(cls, written: object) -> object:
        # As people write it who think of pandas, where a header is a row's number or None.
        if isinstance(written, bool):
            return "first" if written else "none"
        return {"None": "none", 0: "first"}.get(written, written) if isinstance(written, (str, int)) else written

    @field_validator("sep")
    @classmethod
    def _read_sep(cls, written: str | None) -> str | None:
        if written is None:
            return None
        # In single quotes YAML leaves a backslash as it is.
        mark = {"\\t": "\t", "tab": "\t", "\\s": WHITESPACE, " ": WHITESPACE}.get(written, written)
        if mark != WHITESPACE and (len(mark) != 1 or mark in '"\r\n'):
            raise ValueError(
                f'expected one mark such as ";" or "\\t", or "\\s+" for any number of blanks, got {describe(written)}'
            )
        return mark

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, written: str | None) -> str | None:
        try:
            # "x".encode also refuses codecs that are no encodings of text, such as base64.
            "x".encode(written or "utf-8")
        except (LookupError, ValueError):
            expected = "expected an encoding by Python's name, such as utf-8, cp1252 or utf-16"
            raise ValueError(f"{expected}, got {describe(written)}") from None
        return written

    @field_validator("names")
    @classmethod
    def _check_names(cls, written: list[str]) -> list[str]:
        doubled = sorted({name for name in written if written.count(name) > 1})
        if doubled:
            raise ValueError(f'expected a name once, got "{doubled[0]}" several times')
        return written

    def list_missing_words(self, column: str, *, is_target: bool = False) -> tuple[str, ...]:
        """Return the words that mean "missing" in a column."""
        if isinstance(self.missing_values, dict):
            return tuple(word.strip() for word in self.missing_values.get(column, ()))
        return () if is_target else tuple(word.strip() for word in self.missing_values)

    def list_later_keys(self) -> list[str]:
        """Return the keys that are not set and that studies began without: they stay out of fingerprints."""
        return [name for name in _LATER_KEYS if getattr(self, name) is None]

    def select_target(self, target: str) -> Self:
        """Return the settings of one of several targets, with the task that `tasks` gives it as `task`."""
        return self.model_copy(update={"task": self.tasks.get(target, self.task), "tasks": {}})

    def name_task(self, target: str, task: str) -> str:
        """Return the key that gives a target a task, with its value, as a study file has them."""
        is_one_of_several = isinstance(self.target, list) and len(self.target) > 1
        return f"data.tasks: {{{target}: {task}}}" if is_one_of_several else f"data.task: {task}"

    def list_sources(self) -> list[tuple[SourceKey, str]]:
        """Return each file or reference that is named, with its key."""
        named = [(key, getattr(self, key)) for key in SOURCE_KEYS]
        return [
            (key, each)
            for key, written in named
            if written is not None
            for each in ([written] if isinstance(written, str) else written)
        ]

    def describe_source(self, key: SourceKey = "source") -> str:
        """Return the sources of a key in one phrase; "" where it has none."""
        return ", ".join(written for each, written in self.list_sources() if each == key)
