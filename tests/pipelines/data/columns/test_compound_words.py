"""Notes on categories that hold numbers in a form which is not read."""

import pytest

from pipelines.data.columns.compound_words import FEWEST, note_compound

ROWS = range(2 * FEWEST)


@pytest.mark.parametrize(
    ("make", "holds", "advice"),
    [
        (lambda i: f"{i}.5±{i % 3}", "numbers with their error, such as '0.5±0'", "a column of its own"),
        (lambda i: f"~{i}", "rounded numbers or bounds", "write the numbers alone"),
        (lambda i: f"<{i}" if i % 2 else f"{i}+", "rounded numbers or bounds", "write the numbers alone"),
        (lambda i: f"{i}-{i + 5}", "ranges", "both ends"),
        (lambda i: f"{i} x {i + 5} x 3 cm", "sizes", "a column of its own"),
        (lambda i: f"{i}.1\u00d710^4", "powers of ten", "4.4e5"),
        (lambda i: f"{i + 100}/{i + 60}", "two numbers each", "a column of its own"),
        (lambda i: f"(5{i}.25, 8.{i})", "several numbers each", "data.columns.a.type: list"),
        (lambda i: f"{i} " + ["BC", "AD"][i % 2], "numbers with one of several words behind", "two columns"),
        (lambda i: f"{i}'18\"", "minutes and seconds", "0:05:18"),
        (lambda i: f"2024-01-{i % 28 + 1:02d} {i % 24:02d}:00 CEST", "name of a zone", "+02:00"),
        (lambda i: f"2024-01-{i % 28 + 1:02d} to 2024-02-{i % 14 + 1:02d}", "spans of days", "both days"),
        (lambda i: f'{{"n": {i}}}', "objects of JSON", ".jsonl"),
    ],
)
def test_forms_that_are_not_read(make, holds, advice):
    """A note shows one and what to write instead; so it does with a few odd ones."""
    words = [make(i) for i in ROWS]
    note = note_compound([*words, "odd"], "a")
    assert holds in note and advice in note
    assert "are taken for categories" in note and "data.columns.a.type: string" in note


@pytest.mark.parametrize(
    "make",
    [
        lambda i: f"{i}.{i}.{i}.1",  # addresses
        lambda i: f"+49 {i + 200} 7434887",
        lambda i: f"555-01{i:02d}",  # telephones
        lambda i: f"{i + 10}-{i + 3000000}",
        lambda i: f"AB-{i}",
        lambda i: f"{i}A",  # seats
        lambda i: f"{i} {chr(97 + i % 20)}street",  # addresses
        lambda i: f"user{i}@example.org",
        lambda i: f"x{i}",
        lambda i: f"{i}-{i + 5}" if i < 15 else f"{i}+ {i}",  # few of a form
    ],
)
def test_codes_and_names_have_none(make):
    """A wrong note costs more than a lacking one."""
    assert note_compound([make(i) for i in ROWS], "a") == ""


def test_few_words_are_categories():
    """Age bands and sizes of clothes are what they seem."""
    assert note_compound(["0-17", "18-24", "25-34", "35-44", "45-54", "55+"], "age") == ""
