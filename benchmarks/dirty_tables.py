"""Generated tables with the dirt of public data sets, each as clean rows and as the file in which people find it.

Rows are drawn from a rule with noise, which is neither linear nor made of thresholds alone, so that no kind of model is
at home in all of them. Each set has the form of a well-known kind: a sonar's sixty numbers without a header, zeros that
mean "missing", `?` between blanks, labels in single quotes, class codes with a gap, and so on.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

Measure = Literal["accuracy", "auc", "root_mean_squared_error"]


@dataclass(frozen=True)
class Example:
    """A table in the form of a file, and the same rows as clean values.

    Attributes:
        rows: features and, in the last column, the target; NaN for gaps.
        write: writes the file.
        data: lines of the study file's `data`.
        measure: the score of the test rows.
    """

    rows: pd.DataFrame
    write: Callable[[pd.DataFrame, Path], None]
    data: str
    measure: Measure


def make_echoes() -> Example:
    """Return 208 echoes of rocks and mines: sixty numbers and a letter, no header."""
    random = np.random.default_rng(11)
    kinds = random.integers(0, 2, 208)
    bands = np.arange(60)
    peaks = random.normal(22 + 8 * kinds, 6)
    shapes = np.exp(-(((bands - peaks[:, None]) / random.uniform(6, 14, (208, 1))) ** 2))
    values = np.clip(shapes * random.uniform(0.5, 1, (208, 1)) + random.normal(0, 0.12, (208, 60)), 0, 1).round(4)
    rows = pd.DataFrame(values, columns=[f"b{band}" for band in bands]).assign(kind=np.array(["R", "M"])[kinds])
    return Example(rows, write_headless, "  source: table.csv\n  target: column_61\n", "accuracy")


def make_screening() -> Example:
    """Return 768 patients whose missing measurements are zeros."""
    random = np.random.default_rng(12)
    age = random.integers(21, 80, 768)
    weight = random.normal(32, 6, 768).clip(18, 60).round(1)
    sugar = random.normal(105 + 0.3 * age, 25).clip(50, 199).round()
    pressure = random.normal(60 + 0.25 * age, 10).clip(30, 120).round()
    insulin = np.exp(random.normal(4.2 + 0.006 * sugar, 0.5)).clip(14, 846).round()
    risk = (sugar - 120) / 20 + np.maximum(weight - 30, 0) / 4 + 0.8 * np.sin((age - 21) / 20) - 1.2
    ill = (random.random(768) < 1 / (1 + np.exp(-risk))).astype(int)
    rows = pd.DataFrame({"age": age, "sugar": sugar, "pressure": pressure, "insulin": insulin, "bmi": weight})
    for name, share in (("sugar", 0.01), ("pressure", 0.05), ("insulin", 0.45), ("bmi", 0.02)):
        rows.loc[random.random(768) < share, name] = np.nan
    rows = rows.assign(ill=ill)
    gaps = ", ".join(f'{name}: ["0"]' for name in ("sugar", "pressure", "insulin", "bmi"))
    data = f"  source: table.csv\n  target: ill\n  missing_values: {{{gaps}}}\n"
    return Example(rows, lambda table, file: table.fillna(0).to_csv(file, index=False), data, "accuracy")


def make_horses() -> Example:
    """Return 300 sick horses: fields between blanks, codes and measurements, `?` for a third of the cells."""
    random = np.random.default_rng(13)
    pain, surgery = random.integers(1, 6, 300), random.integers(1, 3, 300)
    pulse = random.normal(45 + 9 * pain, 14).clip(30, 184).round()
    cells = random.normal(38 + 2.5 * pain, 7).clip(23, 75).round(1)
    protein = np.where(random.random(300) < 0.5, random.normal(7, 1, 300), random.normal(60, 9, 300)).round(1)
    warmth = random.normal(38.2, 0.7, 300).round(1)
    risk = 0.04 * (pulse - 75) + 0.09 * (cells - 46) + 0.9 * (surgery == 1) + 1.1 * np.abs(warmth - 38.2) - 0.9
    outcome = np.where(random.random(300) < 1 / (1 + np.exp(-1.4 * risk)), "died", "lived")
    names = ("surgery", "warmth", "pulse", "pain", "cells", "protein")
    columns = (surgery, warmth, pulse, pain, cells, protein)
    rows = pd.DataFrame({name: column.astype(float) for name, column in zip(names, columns, strict=True)})
    rows = rows.mask(random.random(rows.shape) < 0.3).assign(outcome=outcome)

    def write(table: pd.DataFrame, file: Path) -> None:
        text = table.astype(object).where(table.notna(), "?")
        file.write_text("".join(" ".join(map(str, row)) + "\n" for row in text.itertuples(index=False)))

    data = '  source: table.csv\n  target: column_7\n  missing_values: ["?"]\n'
    return Example(rows, write, data, "accuracy")


def make_recurrences() -> Example:
    """Return 286 patients of categories alone, ranges such as '40-49' in single quotes, `nan` for a gap, no header."""
    random = np.random.default_rng(14)
    age, size, nodes = random.integers(2, 8, 286), random.integers(0, 11, 286), random.poisson(0.8, 286).clip(0, 5)
    grade, side = random.integers(1, 4, 286), random.choice(["left", "right"], 286)
    risk = 0.7 * nodes + 0.6 * (grade == 3) * (size > 4) + 0.5 * (age < 4) - 1.7
    again = random.random(286) < 1 / (1 + np.exp(-1.5 * risk))
    rows = pd.DataFrame(
        {
            "age": [f"'{10 * each}-{10 * each + 9}'" for each in age],
            "size": [f"'{5 * each}-{5 * each + 4}'" for each in size],
            "nodes": [f"'{3 * each}-{3 * each + 2}'" for each in nodes],
            "grade": [f"'{each}'" for each in grade],
            "side": [f"'{each}'" for each in side],
            "again": np.where(again, "'recurrence'", "'none'"),
        }
    )
    rows.loc[random.random(286) < 0.03, "nodes"] = np.nan

    def write(table: pd.DataFrame, file: Path) -> None:
        table.to_csv(file, index=False, header=False, na_rep="nan")

    return Example(rows, write, "  source: table.csv\n  target: column_6\n", "accuracy")


def make_splinters() -> Example:
    """Return 214 splinters of glass: a row number first, no header, classes 1, 2, 3, 5, 6 and 7."""
    random = np.random.default_rng(15)
    kinds = random.choice(6, 214, p=[0.33, 0.35, 0.08, 0.06, 0.05, 0.13])
    centres = random.normal(0, 1, (6, 9))
    values = (centres[kinds] + random.normal(0, 0.8, (214, 9))).round(3)
    values[:, 7] = np.where(random.random(214) < 0.8, 0, np.abs(values[:, 7]))
    rows = pd.DataFrame(values, columns=[f"oxide{place}" for place in range(9)])
    rows = rows.assign(kind=np.array([1, 2, 3, 5, 6, 7])[kinds])

    def write(table: pd.DataFrame, file: Path) -> None:
        table.set_axis(range(1, len(table) + 1)).to_csv(file, header=False)

    data = "  source: table.csv\n  target: column_11\n  drop: [column_1]\n"
    return Example(rows, write, data, "accuracy")


def make_shells() -> Example:
    """Return 2,000 shells: a letter, lengths and weights, their years as the target, no header."""
    random = np.random.default_rng(16)
    years = (1 + random.gamma(4, 2.4, 2000)).round().clip(1, 29).astype(int)
    kind = np.where(years < 7, "I", random.choice(["M", "F"], 2000))
    length = (0.75 * (1 - np.exp(-0.22 * years)) + random.normal(0, 0.06, 2000)).clip(0.05, 0.85).round(3)
    width = (0.8 * length + random.normal(0, 0.015, 2000)).clip(0.03, None).round(3)
    weight = (2.6 * length**3 * random.lognormal(0, 0.15, 2000)).round(4)
    shell = (0.28 * weight * (1 + 0.025 * years) * random.lognormal(0, 0.1, 2000)).round(4)
    rows = pd.DataFrame({"kind": kind, "length": length, "width": width, "weight": weight, "shell": shell})
    data = "  source: table.csv\n  target: column_6\n  task: regression\n"
    return Example(rows.assign(years=years), write_headless, data, "root_mean_squared_error")


def make_flats() -> Example:
    """Return 3,000 flats with their latitude and longitude, and prices such as $1,250,000."""
    random = np.random.default_rng(17)
    north, east = random.uniform(37.2, 38.2, 3000).round(5), random.uniform(-122.6, -121.6, 3000).round(5)
    area = random.lognormal(4.3, 0.4, 3000).round()
    coast = np.exp(-np.abs(east + 122.45 + 0.3 * (north - 37.7)) / 0.12)
    centre = np.exp(-((north - 37.77) ** 2 + (0.8 * (east + 122.2)) ** 2) / 0.02)
    price = 3500 * area * (1 + 1.4 * coast + 1.8 * centre) * random.lognormal(0, 0.15, 3000)
    condition = random.choice(["new", "good", "Good", "poor"], 3000, p=[0.2, 0.4, 0.1, 0.3])
    price = (price * pd.Series(condition.astype(str)).str.lower().map({"new": 1.2, "good": 1, "poor": 0.75})).round(-2)
    rows = pd.DataFrame({"latitude": north, "longitude": east, "area": area, "condition": condition, "price": price})

    def write(table: pd.DataFrame, file: Path) -> None:
        table.assign(price=[f"${value:,.0f}" for value in table["price"]]).to_csv(file, index=False)

    return Example(rows, write, "  source: table.csv\n  target: price\n", "root_mean_squared_error")


def make_rides() -> Example:
    """Return 3,000 hours of lent bicycles with dates such as 31/12/2023 17:00, predicted from earlier hours."""
    random = np.random.default_rng(18)
    times = pd.date_range("2023-01-02", periods=3000, freq="3h")
    hour, month = times.hour.to_numpy(), times.dayofyear.to_numpy()
    is_free = times.dayofweek.to_numpy() >= 5
    warmth = (11 - 10 * np.cos(2 * np.pi * (month - 20) / 365) + random.normal(0, 3, 3000)).round(1)
    weather = random.choice(["clear", "mist", "rain", "?"], 3000, p=[0.55, 0.25, 0.17, 0.03])
    busy = np.where(
        is_free, np.exp(-((hour - 15) ** 2) / 20), np.exp(-((hour - 8) ** 2) / 4) + np.exp(-((hour - 18) ** 2) / 5)
    )
    rate = (15 + 220 * busy) * (0.4 + 0.05 * np.clip(warmth, 0, 25)) * np.where(weather == "rain", 0.5, 1)
    lent = random.poisson(rate)
    rows = pd.DataFrame({"start": times, "warmth": warmth, "weather": weather, "lent": lent})
    rows["weather"] = rows["weather"].replace("?", np.nan)

    def write(table: pd.DataFrame, file: Path) -> None:
        table.assign(start=table["start"].dt.strftime("%d/%m/%Y %H:%M")).to_csv(file, index=False, na_rep="?")

    data = '  source: table.csv\n  target: lent\n  missing_values: ["?"]\n  split: {order: start}\n'
    return Example(rows, write, data, "root_mean_squared_error")


def make_claims() -> Example:
    """Return 900 claims between tabs, with decimal commas and thousands in dots; one in fifteen amounts is NA."""
    random = np.random.default_rng(19)
    cars, zone = random.integers(1, 60, 900), random.choice(["Nord", "Süd", "West"], 900)
    power = random.normal(95, 30, 900).clip(40, 250).round()
    mileage = random.lognormal(9.4, 0.5, 900).round(2)
    factor = pd.Series(zone).map({"Nord": 1.0, "Süd": 1.35, "West": 0.8}).to_numpy()
    amount = (55 * cars**1.1 + 0.02 * mileage * np.sqrt(power / 95)) * factor * random.lognormal(0, 0.25, 900)
    rows = pd.DataFrame({"cars": cars, "zone": zone, "power": power, "mileage": mileage, "amount": amount.round(2)})
    rows.loc[::15, "amount"] = np.nan

    def write(table: pd.DataFrame, file: Path) -> None:
        written = {name: [_write_german(value) for value in table[name]] for name in ("mileage", "amount")}
        table.assign(**written).to_csv(file, sep="\t", index=False, encoding="cp1252")

    data = "  source: table.csv\n  target: amount\n  drop_unlabelled: true\n"
    return Example(rows, write, data, "root_mean_squared_error")


def make_leavers() -> Example:
    """Return 3,000 contracts with an identifier, Yes and No, blank charges of new clients; 1 of 15 leaves."""
    random = np.random.default_rng(20)
    months = random.geometric(0.03, 3000).clip(0, 72) - 1
    contract = random.choice(["Month-to-month", "One year", "Two year"], 3000, p=[0.55, 0.25, 0.2])
    paperless, senior = random.choice(["Yes", "No"], 3000), random.integers(0, 2, 3000)
    monthly = random.uniform(18, 118, 3000).round(2)
    total = (monthly * months * random.uniform(0.95, 1.05, 3000)).round(2)
    risk = 1.6 * (contract == "Month-to-month") - 0.06 * months + 0.018 * (monthly - 65) + 0.5 * (paperless == "Yes")
    leaves = random.random(3000) < 1 / (1 + np.exp(-(1.5 * risk - 3.8)))
    rows = pd.DataFrame(
        {
            "senior": senior,
            "months": months,
            "contract": contract,
            "paperless": paperless,
            "monthly": monthly,
            "total": np.where(months == 0, np.nan, total),
            "leaves": np.where(leaves, "Yes", "No"),
        }
    )
    letters = np.array(list("ABCDEFGHIJ"))

    def write(table: pd.DataFrame, file: Path) -> None:
        names = [f"{1000 + row}-{''.join(letters[random.integers(0, 10, 5)])}" for row in range(len(table))]
        text = table.assign(total=[" " if np.isnan(value) else f"{value:.2f}" for value in table["total"]])
        text.insert(0, "client", names)
        text.to_csv(file, index=False)

    return Example(rows, write, "  source: table.csv\n  target: leaves\n  drop: [client]\n", "auc")


def write_headless(table: pd.DataFrame, file: Path) -> None:
    """Write a table without the names of its columns."""
    table.to_csv(file, index=False, header=False, quoting=csv.QUOTE_MINIMAL)


def _write_german(value: float) -> str:
    """Return 1234.5 as 1.234,50, and NaN as NA."""
    return "NA" if np.isnan(value) else f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


GENERATED: dict[str, Callable[[], Example]] = {
    "echoes": make_echoes,
    "screening": make_screening,
    "horses": make_horses,
    "recurrences": make_recurrences,
    "splinters": make_splinters,
    "shells": make_shells,
    "flats": make_flats,
    "rides": make_rides,
    "claims": make_claims,
    "leavers": make_leavers,
}
