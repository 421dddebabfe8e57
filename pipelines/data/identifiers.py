"""Columns that seem to identify rows: numbers of rows, keys, names that differ in nearly every row."""

from __future__ import annotations

import re

import numpy as np

from pipelines.data.columns.columns import Column

IDENTIFIER_ROWS = 50
"""Rows below which names may differ by chance."""
IDENTIFIER_SHARE = 0.9
_IDENTIFIER_NAME = re.compile(
    r"(?:^|[\s_.-])(?:id|ids|nr|no|num|number|key|code|uuid|guid|index|idx|row|rownum|record|serial|sku)$"
    r"|(?:^|[\s_.-])(?:phone|telephone|tel|mobile|fax|iban|account|isbn|ean|barcode|ssn|vin|passport)(?:[\s_.-]|$)"
    r"|^unnamed: ?\d+$|[a-z]I[dD]$",
)


def explain_identifier(column: Column) -> str:
    """Return what makes a column look like an identifier; "" if nothing does."""
    known = column.values[column.known]
    if len(known) < IDENTIFIER_ROWS or column.kind not in ("string", "numeric"):
        return ""
    if column.kind == "string":
        distinct = len(set(known.tolist()))
        return "differs in nearly every row" if distinct >= IDENTIFIER_SHARE * len(known) else ""
    values = np.unique(known)
    if not np.equal(np.mod(values, 1), 0).all() or len(values) < IDENTIFIER_SHARE * len(known):
        return ""
    if len(values) == len(known) == values[-1] - values[0] + 1:
        return "counts the rows"
    is_named = (
        column.name.startswith("Unnamed: ")
        or _IDENTIFIER_NAME.search(column.name)
        or _IDENTIFIER_NAME.search(column.name.lower())
    )
    rises = bool((np.diff(known) > 0).all())
    return "is another whole number in nearly every row" if is_named or rises else ""
