"""Small studies for tests, from the text of a study file."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

from pipelines.study.load import check_document
from pipelines.study.study import Study
from search_spaces.parse import parse_space
from search_spaces.space import Space
from search_spaces.yaml_reader import parse_document

STORED_STUDY = (
    "study: s\ndata: {source: d.csv, target: y}\nmodel: mlp\nbudget: {trials: 5}\nexport: {formats: [saved_model]}\n"
)


def study_of(text: str, base: Path = Path()) -> Study:
    """Return the checked study of a file with this text in `base`."""
    return check_document(parse_document(text, "study.yaml"), base)


def space_of(**parameters: Any) -> Space:
    """Return the space of these keys of a study file's `space`."""
    return parse_space(parse_document(json.dumps({"space": parameters}), "study.json"), ("space",))


def write_mixed_csv(file: Path, rows: int = 80) -> None:
    """Write a table with numbers, text, gaps and column names that are no identifiers."""
    chance = random.Random(4)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["age", "a b", "x/y", "\u00e9", "dense", "city", "bought"])
        for row in range(rows):
            age, income = chance.randint(18, 80), chance.gauss(0, 1)
            city = chance.choice(["Rome", "Oslo", "S\u00e3o Paulo", ""])
            bought = "yes" if age / 40 + income + (city == "Oslo") + chance.gauss(0, 0.2) > 1.5 else "no"
            shown = "" if row % 9 == 3 else age
            writer.writerow([shown, f"{income:.3f}", row % 4, chance.random(), row % 2, city, bought])
