"""Keys that the error of a source requests."""

import pytest

from pipelines.operations.starter.mend import add_missing_key
from search_spaces.errors import InputError, Problem


@pytest.mark.parametrize(
    ("message", "path", "added"),
    [
        ("a.csv: line 1 looks like a row, not like names", "data.target", {"header": "none"}),
        (
            "the columns are column_1 to column_5: expected one of these as the target",
            "data.target",
            {"target": "column_5"},
        ),
        ("pictures have 3 sizes; such as [20, 24]", "data.image_size", {"image_size": [20, 24]}),
        ("pictures have 3 sizes; such as [480, 640]", "data.image_size", {"image_size": [72, 96]}),
        ("line 3 has no target; set data.drop_unlabelled: true", "data.target", {"drop_unlabelled": True}),
    ],
)
def test_the_key_is_added(message, path, added):
    """With its reason, and once: the same error again has another cause."""
    data, reasons, error = {"source": "a"}, {}, InputError(Problem(message, path))
    assert add_missing_key(data, reasons, error)
    assert data == {"source": "a", **added}
    assert list(reasons) == list(added)
    assert not add_missing_key(data, reasons, error)


def test_other_errors_stay():
    """What has several ways out is the user's to decide."""
    data = {"source": "a"}
    assert not add_missing_key(data, {}, InputError(Problem("1,234 may be two numbers", "data.decimal")))
    assert data == {"source": "a"}
