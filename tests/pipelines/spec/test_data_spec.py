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


def test_an_image_size_is_read_as_a_pair():
    """Height and width come as a list of two whole numbers of at least 1."""
    assert DataSpec.model_validate({"source": "d", "image_size": [32, 48]}).image_size == (32, 48)
    assert DataSpec.model_validate({"source": "d", "image_size": None}).image_size is None
    for written in (32, [32], [0, 32], [32.0, 32], [True, 32], "32x32"):
        with pytest.raises(ValidationError, match=r"expected height and width in pixels, such as \[32, 32\], got"):
            DataSpec.model_validate({"source": "d", "image_size": written})
