"""Columns that seem to identify rows: numbers of rows, keys, names that differ in nearly every row."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from pipelines.data.columns.columns import Column
from pipelines.data.columns.compound_words import find_compound

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
        words = pd.unique(known).tolist()
        # Measurements differ too, and have a note of their own.
        is_key = len(words) >= IDENTIFIER_SHARE * len(known) and find_compound(words) is None
        return "differs in nearly every row" if is_key else ""
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
