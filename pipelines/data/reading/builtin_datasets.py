"""Built-in data sets: those of scikit-learn, and those that Keras downloads."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.prepared import InputKind
from pipelines.data.raw import Origin, RawData, combine
from pipelines.data.reading.arrays import convert_pair
from search_spaces.errors import InputError, Problem, suggest_choice

SKLEARN_SETS = ("breast_cancer", "diabetes", "digits", "iris", "wine")
_CELL_MEASURES = (
    *("radius", "texture", "perimeter", "area", "smoothness"),
    *("compactness", "concavity", "concave points", "symmetry", "fractal dimension"),
)
_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "digits": ("digits.csv.gz", ()),
    "breast_cancer": (
        "breast_cancer.csv",
        tuple(form.format(each) for form in ("mean {}", "{} error", "worst {}") for each in _CELL_MEASURES),
    ),
    "iris": ("iris.csv", tuple(f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width"))),
    "wine": (
        "wine_data.csv",
        (
            *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
            *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
            *("od280/od315_of_diluted_wines", "proline"),
        ),
    ),
}
"""Files in scikit-learn's package, and the columns' names. A table's first line has the names of its classes."""
KERAS_SETS = ("boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "mnist")


def load_sklearn(name: str, key: str, prefers: InputKind) -> RawData:
    """Return a data set of scikit-learn; digits as 8 x 8 images if the model family takes images.

    Raises:
        InputError: if there is no such set.
    """
    if name not in SKLEARN_SETS:
        raise InputError(Problem(f'scikit-learn has no data set "{name}"; {suggest_choice(name, SKLEARN_SETS)}', key))
    source = f"sklearn:{name}"
    rows = _read_file(name) or _load(name)
    if name == "digits":
        values = rows.table.to_numpy()
        return convert_pair(values if prefers == "dense" else values.reshape(-1, 8, 8, 1), rows.target, source, key)
    origin = Origin(source, key, "row", range(1, len(rows.table) + 1))
    labels = pd.DataFrame({"target": rows.target})
    return RawData((origin,), table=rows.table, labels=labels, class_names=rows.class_names)


@dataclass(frozen=True)
class _Rows:
    table: pd.DataFrame
    target: Array
    class_names: tuple[str, ...]


def _read_file(name: str) -> _Rows | None:
    """Return a set from its file in scikit-learn's package, which takes most of a second to import.

    None where this release has no such file; of the diabetes its file has the values before they are scaled.
    """
    file, columns = _FILES.get(name, ("", ()))
    found = importlib.util.find_spec("sklearn")
    path = Path(found.origin if found and found.origin else "").parent / "datasets" / "data" / file
    if not path.is_file():
        return None
    if path.suffix == ".gz":
        values, head = np.loadtxt(path, delimiter=","), list[str]()
    else:
        with path.open(encoding="utf-8", newline="") as opened:
            head, *rows = csv.reader(opened)
        values = np.array(rows, dtype=np.float64)
    table = pd.DataFrame(values[:, :-1], columns=list(columns) or None)
    return _Rows(table, values[:, -1].astype(np.int64), tuple(head[2:]))


def _load(name: str) -> _Rows:
    """Return a set by scikit-learn."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    names = () if name == "digits" or "target_names" not in bunch else tuple(map(str, bunch.target_names))
    return _Rows(bunch.data, bunch.target.to_numpy(), names)


def load_keras(name: str, key: str) -> RawData:
    """Return a set of `keras.datasets`, from Keras's cache or by download; its test rows stay test rows.

    Raises:
        InputError: if there is no such set, or it is not in the cache and cannot be downloaded.
    """
    if name not in KERAS_SETS:
        raise InputError(Problem(f'Keras has no data set "{name}"; {suggest_choice(name, KERAS_SETS)}', key))
    # Takes five seconds to import, and other sources do without it.
    import keras

    source = f"keras:{name}"
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    # Keras reports a failed download as a bare Exception, and a broken file as whatever the reader raises.
    except Exception as error:
        message = f"{source} is not in Keras's cache and cannot be downloaded: {error}"
        raise InputError(Problem(message, key)) from error
    rest = convert_pair(x_train, y_train, source, key)
    test = convert_pair(x_test, y_test, f"{source} (test)", key, "test")
    return combine([rest, test])
