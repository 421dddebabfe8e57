"""Data sets for portfolios: those that come with scikit-learn or this project, and generated ones.

Each has a name. A table is written to a CSV file with the target `y`, pictures to an `.npz` file. Pictures,
texts, series and tables of several kinds are made in modules of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from generated_mixed import MIXED
from generated_pictures import PICTURES
from generated_series import SERIES
from generated_texts import TEXTS, make_table
from sklearn import datasets

BUNDLED_FOLDER = Path(__file__).parent.parent / "studies" / "data"
Made = tuple[np.ndarray, np.ndarray]

_MESSAGE = {"message": {"type": "text"}}
_VISITS = {"time": "day", "by": "museum", "length": 28, "horizon": 7, "known": ["holiday", "day"]}
BUNDLED: Mapping[str, Mapping[str, Any]] = {
    "concrete": {"source": "concrete.csv", "target": "strength_mpa"},
    "tickets": {"source": "tickets.csv", "target": "team", "drop": ["tags", "hours"], "columns": _MESSAGE},
    "ticket-hours": {"source": "tickets.csv", "target": "hours", "drop": ["tags", "team"], "columns": _MESSAGE},
    "visits": {"source": "visits.csv", "target": "visitors", "series": _VISITS},
}
"""The section `data` of those that come with the project."""


def locate(name: str, folder: Path) -> dict[str, Any]:
    """Return a study file's section `data` of a data set, without its split; a generated set is written to `folder`."""
    if name in BUNDLED:
        return {**BUNDLED[name], "source": str(BUNDLED_FOLDER / BUNDLED[name]["source"])}
    if name in SERIES:
        make, series = SERIES[name]
        make().to_csv(folder / "it.csv", index=False)
        return {"source": str(folder / "it.csv"), "target": "value", "series": {"time": "day", **series}}
    if name in MIXED:
        MIXED[name](folder).to_csv(folder / "it.csv", index=False)
        return {"source": str(folder / "it.csv"), "target": "y"}
    if name in TEXTS:
        make_table(name).to_csv(folder / "it.csv", index=False)
        return {"source": str(folder / "it.csv"), "target": "y", "columns": _MESSAGE}
    if name in PICTURES:
        x, y = PICTURES[name]()
        np.savez(folder / "it.npz", x=x, y=y)
        return {"source": str(folder / "it.npz")}
    if name not in TABLES:
        return {"source": f"sklearn:{name}"}
    x, y = TABLES[name]()
    table = pd.DataFrame(np.round(x, 5), columns=[f"x{place}" for place in range(x.shape[1])])
    table["y"] = np.round(y, 5) if name in REGRESSION else [f"class {int(each)}" for each in y]
    table.to_csv(folder / "it.csv", index=False)
    return {"source": str(folder / "it.csv"), "target": "y"}


def _make_classes(**settings: Any) -> Callable[[], Made]:
    return lambda: datasets.make_classification(random_state=0, **settings)


TABLES: Mapping[str, Callable[[], Made]] = {
    "classes-2": _make_classes(n_samples=1000, n_features=20, n_informative=5, n_redundant=5),
    "classes-5": _make_classes(n_samples=1500, n_features=20, n_informative=10, n_classes=5),
    "classes-noisy": _make_classes(n_samples=1000, n_features=10, n_informative=4, flip_y=0.2),
    "hastie": lambda: datasets.make_hastie_10_2(1500, random_state=0),
    "moons": lambda: datasets.make_moons(600, noise=0.3, random_state=0),
    "quantiles": lambda: datasets.make_gaussian_quantiles(n_samples=1200, n_features=8, random_state=0),
    "friedman1": lambda: datasets.make_friedman1(1000, noise=1.0, random_state=0),
    "friedman2": lambda: datasets.make_friedman2(1000, noise=50.0, random_state=0),
    "friedman3": lambda: datasets.make_friedman3(800, noise=0.1, random_state=0),
    "linear": lambda: datasets.make_regression(600, 50, n_informative=10, noise=20.0, random_state=0),
    "sparse": lambda: datasets.make_sparse_uncorrelated(800, random_state=0),
}
REGRESSION = frozenset(
    {
        "diabetes",
        "concrete",
        "friedman1",
        "friedman2",
        "friedman3",
        "linear",
        "sparse",
        "ratings",
        "visits",
        "offers",
        "samples",
        "ticket-hours",
        *SERIES,
    }
)
BINARY = frozenset(
    {"breast_cancer", "classes-2", "classes-noisy", "hastie", "moons", "rough", "opinions", "orders", "replies"}
)
