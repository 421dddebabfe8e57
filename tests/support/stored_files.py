"""Tables and pictures for an object storage, and their rows as a study reads them."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from pipelines.data.prepare import prepare
from pipelines.spec.data_spec import DataSpec


def make_files():
    """Return two tables and a folder of pictures, by key."""
    random = np.random.default_rng(0)
    files = {}
    for number in range(2):
        table = pd.DataFrame({"a": random.normal(size=100), "b": random.choice(list("xyz"), 100)})
        table["y"] = 2 * table["a"] + random.normal(size=100)
        files[f"tables/rows-{number}.csv"] = table.to_csv(index=False).encode()
    for number in range(20):
        written = io.BytesIO()
        pixels = random.integers(0, 100 + 100 * (number % 2), (6, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(written, "png")
        files[f"pictures/{('dark', 'light')[number % 2]}/{number}.png"] = written.getvalue()
    return files


def read(folder, source, prefers="dense", **keys):
    """Return the summary of the data of an address or a path."""
    home = folder / f"study-{abs(hash((source, str(keys))))}"
    home.mkdir()
    target = {} if "pictures" in source else {"target": "y"}
    spec = DataSpec.model_validate({"source": source, **target, **keys})
    return prepare(spec, folder, home / "data", prefers)


def write_here(folder):
    """Write the bucket's objects as files."""
    for name, content in make_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
