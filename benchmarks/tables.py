"""Small studies on tables as people have them, beside simple models on the same rows.

Nineteen sets: UCI's and scikit-learn's, and generated ones with the dirt of well-known kinds (`dirty_tables.py`). Each
is written in a form in which it is often found (no header, semicolons, decimal commas, `?` for a gap, rows without a
target), with the smallest study file that reads it, and the winner is exported, which compares the file with the Keras
model. The same split is then learnt by the majority or mean, a linear model and scikit-learn's histogram gradient
boosting with its defaults, from a clean copy of the rows; a date is its day, month, weekday and hour for these. Those
three train on the training and validation rows; kerastudy needs the latter to choose its winner.

    python benchmarks/tables.py FOLDER [--sets NAME ...] [--trials N] [--model FAMILY]

FOLDER holds `adult/train.csv`, and a folder with `data.csv` for concrete, energy and wine-quality-red (UCI, CC BY 4.0);
the other sets come with scikit-learn, or are generated.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from dirty_tables import GENERATED, Example, write_headless
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from pipelines.operations.export import export_study
from pipelines.operations.run import run_to_end, supervise
from pipelines.queries.study_reader import StudyReader
from pipelines.study.load import load_study
from pipelines.workspace.home import Home

_SHOWN = {"accuracy": "accuracy", "auc": "AUC", "root_mean_squared_error": "RMSE"}


def main() -> None:
    """Run a study for each set and print the table."""
    options = _parse_options()
    makers: dict[str, Callable[[], Example]] = {
        "adult": lambda: _make_adult(options.folder),
        "concrete": lambda: _make_concrete(options.folder),
        "energy": lambda: _make_energy(options.folder),
        "wine-quality": lambda: _make_wine_quality(options.folder),
        "breast-cancer": _make_breast_cancer,
        "iris": _make_iris,
        "wine": _make_wine,
        "digits": _make_digits,
        "diabetes": _make_diabetes,
        **GENERATED,
    }
    print(
        f"{options.trials} trials of {options.model}; accuracy and AUC are better high, RMSE is better low", flush=True
    )
    print("| set | rows | test rows | measure | majority or mean | linear | gradient boosting | kerastudy |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.sets or makers:
        print(_measure(name, makers[name](), options.trials, options.model), flush=True)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds the sets of UCI")
    parser.add_argument("--sets", nargs="+", default=[])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--model", default="mlp")
    return parser.parse_args()


def _measure(name: str, example: Example, trials: int, model: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        example.write(example.rows, folder / "table.csv")
        file = folder / "study.yaml"
        file.write_text(f"study: s\nmodel: {model}\nbudget: {{trials: {trials}}}\ndata:\n{example.data}")
        study, home = load_study(file, []), Home(folder / "home", str(folder / "home"))
        with supervise(study, home) as supervisor:
            run_to_end(supervisor)
        with StudyReader.open(home) as reader:
            test = reader.find_best_trial("s").test
        # Fails where the file differs from the model that has the score.
        export_study(home, "s", None, ["keras"], folder / "exported")
        split = pd.read_csv(home.locate_data("s") / "split.csv")
    # Rows without a target were left out before the split.
    rows = _take_dates_apart(example.rows[example.rows.iloc[:, -1].notna()].reset_index(drop=True))
    is_test = (split["part"] == "test").to_numpy()
    scores = [_score(each, rows, is_test, example.measure) for each in ("trivial", "linear", "boosting")]
    shown = " | ".join(f"{score:.4g}" for score in [*scores, test[f"test_{example.measure}"]])
    return f"| {name} | {len(rows)} | {is_test.sum()} | {_SHOWN[example.measure]} | {shown} |"


def _take_dates_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with numbers in place of dates."""
    for name in rows.select_dtypes("datetime").columns:
        times = rows.pop(name).dt
        days = (times.normalize() - pd.Timestamp(0)).dt.days
        for place, part in enumerate((days, times.month, times.dayofweek, times.hour)):
            rows.insert(place, f"{name} {place}", part)
    return rows


def _score(kind: str, rows: pd.DataFrame, is_test: np.ndarray, measure: str) -> float:
    x, y = rows.iloc[:, :-1], rows.iloc[:, -1]
    # Threads of boosting wait for each other at full speed, for minutes where the machine is busy.
    with threadpool_limits(1):
        model = _build(kind, measure != "root_mean_squared_error").fit(x[~is_test], y[~is_test])
    if measure == "auc":
        return float(roc_auc_score(y[is_test], model.predict_proba(x[is_test])[:, 1]))
    found = model.predict(x[is_test])
    if measure == "accuracy":
        return float((found == y[is_test].to_numpy()).mean())
    return float(np.sqrt(((found - y[is_test].to_numpy()) ** 2).mean()))


def _build(kind: str, is_classes: bool) -> BaseEstimator:
    numbers, words = make_column_selector(dtype_include="number"), make_column_selector(dtype_exclude="number")
    if kind == "trivial":
        return DummyClassifier() if is_classes else DummyRegressor()
    if kind == "linear":
        columns = make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore"), words),
        )
        return make_pipeline(columns, LogisticRegression(max_iter=2000) if is_classes else Ridge())
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encoder, words), remainder="passthrough")
    boosting = HistGradientBoostingClassifier if is_classes else HistGradientBoostingRegressor
    return make_pipeline(columns, boosting(random_state=0))


def _make_adult(folder: Path) -> Example:
    """Return 6,000 rows of Adult as UCI has them: no header, a blank behind each comma, `?` for a gap."""
    rows = pd.read_csv(folder / "adult/train.csv", na_values=["?"], skipinitialspace=True)
    rows = rows.sample(6_000, random_state=0).reset_index(drop=True)

    def write(table: pd.DataFrame, file: Path) -> None:
        text = table.astype(object).where(table.notna(), "?")
        file.write_text("".join(", ".join(map(str, row)) + "\n" for row in text.itertuples(index=False)))

    names = ", ".join(rows.columns)
    data = f'  source: table.csv\n  target: income\n  names: [{names}]\n  missing_values: ["?"]\n'
    return Example(rows, write, data, "accuracy")


def _make_concrete(folder: Path) -> Example:
    """Return Concrete with semicolons and decimal commas, as a European spreadsheet saves it."""
    rows = pd.read_csv(folder / "concrete/data.csv")
    data = f"  source: table.csv\n  target: {rows.columns[-1]}\n"
    return Example(
        rows, lambda table, file: table.to_csv(file, sep=";", decimal=",", index=False), data, "root_mean_squared_error"
    )


def _make_energy(folder: Path) -> Example:
    """Return Energy Efficiency with pandas's index as its first column."""
    rows = pd.read_csv(folder / "energy/data.csv")
    data = f'  source: table.csv\n  target: {rows.columns[-1]}\n  drop: ["Unnamed: 0"]\n'

    def write(table: pd.DataFrame, file: Path) -> None:
        table.rename_axis("Unnamed: 0").to_csv(file)

    return Example(rows, write, data, "root_mean_squared_error")


def _make_wine_quality(folder: Path) -> Example:
    """Return Wine Quality as UCI has it: semicolons and quoted names; its scores from 3 to 8 are numbers."""
    rows = pd.read_csv(folder / "wine-quality-red/data.csv")

    def write(table: pd.DataFrame, file: Path) -> None:
        table.to_csv(file, sep=";", index=False, quoting=csv.QUOTE_NONNUMERIC)

    return Example(
        rows, write, "  source: table.csv\n  target: quality\n  task: regression\n", "root_mean_squared_error"
    )


def _make_breast_cancer() -> Example:
    """Return scikit-learn's breast cancer with every twentieth target missing."""
    rows = _read_bunch(load_breast_cancer(as_frame=True))
    rows.loc[::20, "target"] = None
    return Example(
        rows,
        lambda table, file: table.to_csv(file, index=False),
        "  source: table.csv\n  target: target\n  drop_unlabelled: true\n",
        "accuracy",
    )


def _make_iris() -> Example:
    """Return Iris as UCI has it, without a header."""
    rows = _read_bunch(load_iris(as_frame=True))
    return Example(rows, write_headless, "  source: table.csv\n  target: column_5\n", "accuracy")


def _make_wine() -> Example:
    """Return Wine with classes 1 to 3 and quoted fields."""
    bunch = load_wine(as_frame=True)
    rows = bunch.data.assign(cultivar=bunch.target + 1)

    def write(table: pd.DataFrame, file: Path) -> None:
        table.to_csv(file, index=False, quoting=csv.QUOTE_ALL)

    return Example(rows, write, "  source: table.csv\n  target: cultivar\n", "accuracy")


def _make_digits() -> Example:
    """Return the digits as a table of pixels without a header."""
    bunch = load_digits(as_frame=True)
    rows = bunch.data.assign(target=bunch.target)
    data = "  source: table.csv\n  target: column_65\n  header: none\n"
    return Example(rows, write_headless, data, "accuracy")


def _make_diabetes() -> Example:
    """Return scikit-learn's diabetes with a byte order mark, `;` between fields and one that ends each line."""
    bunch = load_diabetes(as_frame=True, scaled=False)
    rows = bunch.data.assign(progress=bunch.target)

    def write(table: pd.DataFrame, file: Path) -> None:
        table.to_csv(file, sep=";", index=False, encoding="utf-8-sig", lineterminator=";\n")

    return Example(rows, write, "  source: table.csv\n  target: progress\n", "root_mean_squared_error")


def _read_bunch(bunch: Bunch) -> pd.DataFrame:
    return bunch.data.assign(target=bunch.target_names[bunch.target])


if __name__ == "__main__":
    main()
