"""Notes on rows that are split at random and may be in time or in groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.raw import RawData
from pipelines.spec.data_spec import DataSpec

_FEWEST = 20  # dates or groups; of fewer, no split by them leaves enough for each part
_OF_GROUPS = re.compile(
    r"(^|[_\s-])(patient|subject|customer|client|user|person|participant|member|household|family|session|device|machine|"
    r"store|shop|site|group)([_\s-]?(id|no|nr|number|code|key))?$"
)


def note_random_split(columns: Sequence[Column], raw: RawData, spec: DataSpec) -> Iterator[str]:
    """Yield notes on a random split of rows that have dates, or that seem to belong to groups."""
    split = spec.split
    if split.order or split.group or split.column or "validation" in raw.given:
        return
    for column in columns:
        if column.kind == "date" and not column.form.is_time and _is_in_time(column.values):
            yield (
                f'rows have dates in "{column.name}" and are split at random; if later rows are to be predicted from '
                f"earlier ones, set data.split.order: {column.name}"
            )
            break
    for column in columns:
        if column.kind != "text" and column.values.ndim == 1 and _is_of_groups(column):
            yield (
                f'rows of one "{column.name}" are in several parts; if new rows will be of new ones, set '
                f"data.split.group: {column.name}"
            )


def _is_in_time(values: Array) -> bool:
    """Return whether most dates differ, or rows are sorted by them."""
    known = values[np.isfinite(values)]
    distinct = len(np.unique(known))
    return distinct >= _FEWEST and (2 * distinct >= len(values) or bool((np.diff(known) >= 0).all()))


def _is_of_groups(column: Column) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.name).lower()
    if not _OF_GROUPS.search(words):
        return False
    values = column.values[column.values != ""] if column.is_words else column.values[np.isfinite(column.values)]
    distinct = len(set(values.tolist()))
    return _FEWEST <= distinct <= len(values) / 2
