"""The data section of a study file: splits and image sizes."""

import pytest
from pydantic import ValidationError

from pipelines.spec.data_spec import DataSpec, SplitSpec


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"validation": 0.6, "test": 0.4}, "validation + test must be below 1 to leave rows for training, got 1"),
        ({"validation": 0.0}, "validation must be above 0: trials are scored on validation rows"),
        ({"column": "part", "folds": 5}, "expected either column or folds, got both; remove one"),
    ],
)
def test_a_split_leaves_rows_for_training_and_scoring(keys, message):
    """Shares leave training rows, there are validation rows to score on, and rows are split in one way."""
    with pytest.raises(ValidationError, match="1 validation error") as refused:
        SplitSpec.model_validate(keys)
    assert refused.value.errors()[0]["msg"] == f"Value error, {message}"


def test_the_validation_share_may_be_zero_with_folds_or_a_column():
    """Folds and a split column need no share of validation rows."""
    assert SplitSpec.model_validate({"validation": 0.0, "folds": 3}).folds == 3
    assert SplitSpec.model_validate({"validation": 0.0, "column": "part"}).column == "part"


def test_the_keys_of_reading():
    """A mark is one sign or any blanks, an encoding one of Python; a name stands once; pandas's headers are known."""
    for written, mark in ((";", ";"), ("\\t", "\t"), ("tab", "\t"), ("\\s+", "\\s+"), (" ", "\\s+")):
        assert DataSpec(source="d", sep=written).sep == mark
    for header, read in ((False, "none"), (True, "first"), (0, "first"), ("None", "none"), ("auto", "auto")):
        assert DataSpec.model_validate({"source": "d", "header": header}).header == read
    for keys, message in (
        ({"sep": ";;"}, r'expected one mark such as ";"'),
        ({"sep": '"'}, r'expected one mark such as ";"'),
        ({"encoding": "latin9x"}, "expected an encoding by Python's name"),
        ({"encoding": "base64"}, "expected an encoding by Python's name"),
        ({"names": ["a", "b", "a"]}, 'expected a name once, got "a" several times'),
        ({"header": 1}, "1 validation error"),
    ):
        with pytest.raises(ValidationError, match=message):
            DataSpec.model_validate({"source": "d", **keys})


def test_sources_are_listed_with_their_keys():
    """One file or several, as they are written."""
    spec = DataSpec(source=["a.csv", "b.csv"], test_source="c.csv")
    assert spec.list_sources() == [("source", "a.csv"), ("source", "b.csv"), ("test_source", "c.csv")]
    assert (spec.describe_source(), spec.describe_source("validation_source")) == ("a.csv, b.csv", "")


def test_an_image_size_is_read_as_a_pair():
    """Height and width come as a list of two whole numbers of at least 1."""
    assert DataSpec.model_validate({"source": "d", "image_size": [32, 48]}).image_size == (32, 48)
    assert DataSpec.model_validate({"source": "d", "image_size": None}).image_size is None
    for written in (32, [32], [0, 32], [32.0, 32], [True, 32], "32x32"):
        with pytest.raises(ValidationError, match=r"expected height and width in pixels, such as \[32, 32\], got"):
            DataSpec.model_validate({"source": "d", "image_size": written})
