"""A column of sentences becomes numbers of words, and words unknown from training are all one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.columns.text_columns import is_text
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_part
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

WORDS = ("red", "green", "Blue", "grey", "one", "two", "three", "Four")


def write_reviews(folder, rows=60):
    """Write a table of sentences of three to eight words, a city and a class."""
    random = np.random.default_rng(5)
    texts = [" ".join(random.choice(WORDS, random.integers(5, 9))) + ("!" if row % 2 else "") for row in range(rows)]
    table = pd.DataFrame({"review": texts, "city": ["Oslo", "Rome"] * (rows // 2), "good": ["yes", "no"] * (rows // 2)})
    table.to_csv(folder / "reviews.csv", index=False)
    return table


def prepare_reviews(folder, **keys):
    """Return the summary and the folder of the prepared table."""
    spec = DataSpec(source="reviews.csv", target="good", **keys)
    return prepare(spec, folder, folder / "prepared", "dense"), folder / "prepared"


def test_sentences_are_numbers_of_words(tmp_path):
    """The longest word order is kept; case and punctuation are not; a word from nowhere is 1."""
    write_reviews(tmp_path)
    summary, folder = prepare_reviews(tmp_path)
    assert summary.features.text == (("text_1", 8, len(WORDS) + 2),)
    assert any("data.columns.review.type: string" in note for note in summary.notes)
    x = load_part(folder, "train").x["text_1"]
    assert (x.dtype, x.shape[1], x.max()) == (np.int32, 8, len(WORDS) + 1)
    rows = {"review": np.array(["BLUE, four! nowhere", ""], object), "city": np.array(["Oslo", "Rome"], object)}
    import tensorflow as tf

    found = load_preprocessing(folder)({name: tf.constant(values.tolist()) for name, values in rows.items()})
    first, empty = found["text_1"].numpy()
    known = load_preprocessing(folder)(
        {"review": tf.constant(["blue four"]), "city": tf.constant(["Oslo"])},
    )["text_1"].numpy()[0]
    assert first[:3].tolist() == [*known[:2].tolist(), 1]
    assert not first[3:].any() and not empty.any()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"type": "text", "length": 3, "vocabulary": 5}, (("text_1", 3, 5),)), ({"type": "string"}, ())],
)
def test_settings_of_a_column_come_first(tmp_path, settings, expected):
    write_reviews(tmp_path)
    summary, _ = prepare_reviews(tmp_path, columns={"review": settings})
    assert summary.features.text == expected


def test_settings_of_text_need_text(tmp_path):
    write_reviews(tmp_path)
    with pytest.raises(InputError, match="this setting is for text, but the column is string") as error:
        prepare_reviews(tmp_path, columns={"city": {"length": 4}})
    assert error.value.problems[0].path == "data.columns.city.length"


def test_names_and_codes_are_categories():
    """Long names alone are no sentences, nor are sentences that come again and again."""
    assert not is_text(np.array([f"no. {row} street of roses" for row in range(5)] * 8, object))
    assert not is_text(np.array([f"Street {row}" for row in range(50)], object))
    assert not is_text(np.array([f"DE{row} 6781 1920 8529 3236 73" for row in range(50)], object))
    assert is_text(np.array([f"the street {row} is a long one" for row in range(50)], object))
