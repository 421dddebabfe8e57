"""Files of data that came as an object: its rows, and the Python file that loads them and that a study names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import GeneratorType
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.examples.example_form import ExampleForm
from pipelines.data.examples.examples import load_examples
from pipelines.data.fingerprint import update_digest
from pipelines.data.raw import PARTS, RawData
from pipelines.data.reading.arrays import convert_result
from search_spaces.errors import InputError, Problem, suggest_choice

STEM = "data"
REFERENCE = f"{STEM}.py:load"
_FORMS = f"{STEM}.json"
_TEXT = '''"""Data that `kerastudy.run` received as an object. Written by kerastudy: its rows are in other files.

Digest of the rows: {digest}
"""

from pipelines.objects.data_files import load_data


def load():
    """Return the data."""
    return load_data(__file__)
'''


@dataclass(frozen=True)
class ReceivedData:
    """Data that came as an object, part by part; one part without a name where the study splits the rows.

    Attributes:
        digest: digest of its rows.
    """

    parts: Mapping[str, RawData]
    digest: str

    def write(self, folder: Path) -> None:
        """Write all rows, and the Python file that loads them."""
        forms = {part: _write_part(folder / f"{STEM}-{part or 'all'}", raw) for part, raw in self.parts.items()}
        (folder / _FORMS).write_text(json.dumps({"digest": self.digest, "parts": forms}, indent=2), encoding="utf-8")
        (folder / f"{STEM}.py").write_text(_TEXT.format(digest=self.digest), encoding="utf-8")


def read_data(value: Any) -> ReceivedData:
    """Return data that came as an object: what a loader may return.

    Raises:
        InputError: if it is none of the known forms, or can be read only once.
    """
    if isinstance(value, GeneratorType) or (hasattr(value, "__next__") and not hasattr(value, "element_spec")):
        message = "a generator can be read only once; pass the function that makes it, or arrays"
        raise InputError(Problem(f'{message}, or write that function to a file and pass "file.py:function"', "data"))
    has_parts = isinstance(value, Mapping) and "train" in value
    given = dict(value) if has_parts else {"": value}
    for part in given:
        if part and part not in PARTS:
            raise InputError(Problem(f'data holds a part "{part}"; {suggest_choice(str(part), PARTS)}', "data"))
    parts = {part: convert_result(each, f"data ({part})" if part else "data", "data") for part, each in given.items()}
    digest = hashlib.sha256()
    for part, raw in parts.items():
        digest.update(part.encode())
        if raw.examples is not None:
            raw.examples.update_digest(digest)
        else:
            update_digest(digest, raw.table, raw.labels, raw.weights)
    return ReceivedData(parts, digest.hexdigest()[:32])


def read_digest(folder: Path) -> str | None:
    """Return the digest of the data in a folder; None where there is none."""
    file = folder / _FORMS
    return str(json.loads(file.read_text(encoding="utf-8"))["digest"]) if file.is_file() else None


def load_data(code: str) -> Any:
    """Return the data beside a Python file that `ReceivedData.write` wrote, as a loader returns it."""
    folder = Path(code).parent
    forms = json.loads((folder / _FORMS).read_text(encoding="utf-8"))["parts"]
    parts = {part: _load_part(folder / f"{STEM}-{part or 'all'}", form) for part, form in forms.items()}
    return parts.get("", parts)


def _write_part(stem: Path, raw: RawData) -> dict[str, Any]:
    """Write one part to files whose names begin with `stem`; return its form."""
    if raw.examples is not None:
        raw.examples.save(stem)
        return {"examples": raw.examples.describe().to_json()}
    for name, table in (("table", raw.table), ("labels", raw.labels)):
        if table is not None:
            _write_table(stem.with_name(f"{stem.name}.{name}.parquet"), table)
    if raw.weights is not None:
        np.save(stem.with_name(f"{stem.name}.weights.npy"), raw.weights)
    return {"labels": raw.labels is not None, "weights": raw.weights is not None}


def _write_table(file: Path, table: pd.DataFrame) -> None:
    try:
        table.to_parquet(file, index=False)
    # pyarrow's errors are of many types; their first line names the column.
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(Problem(f"the DataFrame cannot be written as Parquet: {reason}", "data")) from error


def _load_part(stem: Path, form: Mapping[str, Any]) -> Any:
    if "examples" in form:
        return load_examples(stem, ExampleForm.from_json(form["examples"]))
    table = pd.read_parquet(stem.with_name(f"{stem.name}.table.parquet"))
    if not form["labels"] and not form["weights"]:
        return table
    labels = pd.read_parquet(stem.with_name(f"{stem.name}.labels.parquet")) if form["labels"] else None
    weights = np.load(stem.with_name(f"{stem.name}.weights.npy")) if form["weights"] else None
    return table, labels, weights
