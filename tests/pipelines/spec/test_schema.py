"""The study file's model: durations, sizes, ways to divide rows, and defaults."""

import pytest
from pydantic import BaseModel, ValidationError

from pipelines.spec.data_spec import DataSpec, SplitSpec
from pipelines.spec.schema import StudySpec
from pipelines.spec.units import parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(90, 90), (0.5, 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h 30m", 5400), ("2d", 172800), ("50ms", 0.05)],
)
def test_durations_are_read(written, seconds):
    """A duration is seconds as a number, or numbers with units that add up."""
    assert parse_seconds(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("5 minutes", 'expected a duration such as 90, "30s", "5m" or "1h30m", got the text "5 minutes"'),
        ("", 'expected a duration such as 90, "30s", "5m" or "1h30m", got the text ""'),
        ("-5m", 'expected a duration such as 90, "30s", "5m" or "1h30m", got the text "-5m"'),
        (True, 'expected a duration such as 90, "30s", "5m" or "1h30m", got true'),
        (["5m"], 'expected a duration such as 90, "30s", "5m" or "1h30m", got a list'),
        (
            "12:30",
            'expected a duration such as 90, "30s", "5m" or "1h30m", got the text "12:30"; write "12h30m" or "12m30s"',
        ),
        (0, "expected a duration above zero, got 0"),
        ("0s", 'expected a duration above zero, got the text "0s"'),
        (-3, "expected a duration above zero, got -3"),
        (float("inf"), "expected a duration of at most 10000 days, got inf"),
        (10**400, "expected a duration of at most 10000 days, got a whole number with many digits"),
        ("1" * 20 + "d", f'expected a duration of at most 10000 days, got the text "{"1" * 20}d"'),
        (float("nan"), "expected a duration above zero, got nan"),
    ],
)
def test_other_durations_are_refused(written, said):
    """What is no positive duration is refused with the ways to write one."""
    with pytest.raises(ValueError) as refused:
        parse_seconds(written)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("written", "size"), [(1024, 1024), (4e9, 4 * 10**9), ("512MB", 512 * 10**6), ("1.5 gb", 15 * 10**8), ("10B", 10)]
)
def test_sizes_are_read(written, size):
    """A size is bytes as a number, or a number with a unit of powers of ten, in any case."""
    assert parse_bytes(written) == size


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("4 gigs", 'expected a size such as "512MB" or "4GB", got the text "4 gigs"'),
        (0.5, 'expected a size such as "512MB" or "4GB", got 0.5'),
        (True, 'expected a size such as "512MB" or "4GB", got true'),
        (None, 'expected a size such as "512MB" or "4GB", got nothing (null)'),
        (float("inf"), 'expected a size such as "512MB" or "4GB", got inf'),
        (0, "expected a size above zero, got 0"),
        (10**400, "expected a size of at most 1000000 TB, got a whole number with many digits"),
        ("9" * 50 + "GB", f'expected a size of at most 1000000 TB, got the text "{"9" * 50}GB"'),
        (
            "9" * 400 + "GB",
            f'expected a size of at most 1000000 TB, got the text "{"9" * 57}..."',
        ),
        ("0MB", 'expected a size above zero, got the text "0MB"'),
    ],
)
def test_other_sizes_are_refused(written, said):
    """What is no positive size is refused with the ways to write one."""
    with pytest.raises(ValueError) as refused:
        parse_bytes(written)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"validation": 0.6, "test": 0.4}, "validation + test must be below 1 to leave rows for training, got 1"),
        ({"validation": 0.0}, "validation must be above 0: trials are scored on validation rows"),
        ({"column": "part", "folds": 5}, "expected either column or folds, got both; remove one"),
    ],
)
def test_a_split_leaves_rows_for_training_and_scoring(keys, said):
    """Shares leave training rows, there are validation rows to score on, and rows are divided in one way."""
    with pytest.raises(ValidationError, match="1 validation error") as refused:
        SplitSpec.model_validate(keys)
    assert refused.value.errors()[0]["msg"] == f"Value error, {said}"


def test_a_share_of_validation_may_be_zero_where_something_else_divides():
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


def test_three_keys_are_enough():
    """Everything but study, data and model has a default."""
    spec = StudySpec.model_validate({"study": "s", "data": {"source": "x.csv"}, "model": "mlp"})
    assert (spec.budget.trials, spec.search.sampler, spec.data.split.validation) == (30, "tpe", 0.2)
    required = {name for name, field in StudySpec.model_fields.items() if field.is_required()}
    assert required == {"study", "data", "model"}


def test_a_spec_cannot_be_changed():
    """A study file's model is frozen, whole and in parts."""
    spec = StudySpec.model_validate({"study": "s", "data": {"source": "x.csv"}, "model": "mlp"})
    with pytest.raises(ValidationError, match="frozen"):
        spec.budget.trials = 3


def test_every_key_says_what_it_means():
    """Each key of each section has a description, for the schema and the reference."""
    sections, seen = [StudySpec], set()
    while sections:
        section = sections.pop()
        seen.add(section.__name__)
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            parts = [field.annotation, *getattr(field.annotation, "__args__", ())]
            sections += [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    assert {"DataSpec", "SplitSpec", "ColumnSpec", "EarlyStoppingSpec", "ExportSpec"} <= seen
