"""The study file's section `data`: the source, its columns, and the split of its rows."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.spec.section import Section
from search_spaces.values import describe

_Pixels = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class SplitSpec(Section):
    """The split of the rows. Choose one way: shares, separate files, a split column, or folds."""

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

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if self.column is not None and self.folds is not None:
            raise ValueError("expected either column or folds, got both; remove one")
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must be below 1 to leave rows for training, got {self.validation + self.test:g}"
            )
        if self.folds is None and self.column is None and self.validation == 0:
            raise ValueError("validation must be above 0: trials are scored on validation rows")
        return self


class ColumnSpec(Section):
    """Settings of one column that replace the inferred ones."""

    type: Literal["numeric", "boolean", "string", "date", "text"] | None = Field(
        None,
        description="Type of the column; inferred from its values when left out. A string is a category, text is read "
        "word by word.",
    )
    encoding: Literal["one_hot", "embedding", "hash"] | None = Field(
        None,
        description="Encoding of a string column; chosen by its number of categories when left out.",
    )
    length: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Words of a text column that a model gets, from the first; enough for 95 % of the rows when left "
        "out, at most 512.",
    )
    vocabulary: int | None = Field(
        None, ge=3, le=1_000_000, description="Most words of a text column that are told apart; 20,000 when left out."
    )


class DataSpec(Section):
    """The data: its source, its columns and its split."""

    source: str = Field(
        min_length=1,
        description="A .csv, .parquet or .npz file, an image folder (one sub-folder a class), `sklearn:<name>`, "
        "`keras:<name>`, or `loader.py:function`. Paths are relative to the study file.",
    )
    preprocess: Literal["auto", "none", "dense"] = Field(
        "auto",
        description="What a model of yours gets. `none`: the data as it is, a table as a dict of its columns. `dense`: "
        "one standardised array. `auto`: a table as `dense`, all else as `none`. Shipped families need `auto` or "
        "`dense`.",
    )
    target: str | list[str] | None = Field(
        None, description="Target column or columns of a table; several give multi-output regression."
    )
    weight: str | None = Field(
        None,
        description="Column of a table with each row's weight in the loss and in weighted metrics. A loader returns "
        "(x, y, sample_weight) instead.",
    )
    validation_source: str | None = Field(None, description="A separate file that holds the validation rows.")
    test_source: str | None = Field(None, description="A separate file that holds the test rows.")
    task: Literal["auto", "binary", "multiclass", "regression", "multi_output_regression"] = Field(
        "auto", description="Kind of prediction; inferred from the target when left at `auto`."
    )
    # Sections are frozen and may be shared; Pydantic copies defaults such as lists.
    split: SplitSpec = Field(default=SplitSpec(), description="Split of the rows.")
    drop: list[str] = Field(default=[], description="Columns to leave out, such as identifiers.")
    columns: dict[str, ColumnSpec] = Field(default={}, description="Settings of single columns.")
    missing_values: list[str] = Field(
        default=[], description='Strings that mean "missing" in addition to the empty field, such as "?".'
    )
    image_size: tuple[_Pixels, _Pixels] | None = Field(
        None, description="Height and width that an image folder's pictures are resized to."
    )
    scale_target: bool = Field(
        True,
        description="Train a regression on a standardised target; predictions are in the unit of the target.",
    )

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
