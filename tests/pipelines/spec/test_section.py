"""Names and aliases in a study file."""

import pytest

from pipelines.spec.section import parse_alias


@pytest.mark.parametrize("alias", ["champion", "a-b_c", "v", "1"])
def test_an_alias_that_mlflow_accepts_is_accepted(alias):
    """Letters, digits, dashes and underscores make an alias."""
    assert parse_alias(alias) == alias


@pytest.mark.parametrize("alias", ["latest", "v1", "V12", "a.b", "", 3, "x" * 101])
def test_an_alias_that_mlflow_refuses_is_refused(alias):
    """MLflow refuses other characters, and reserves `latest` and versions."""
    with pytest.raises(ValueError, match="expected an alias of up to 100 letters"):
        parse_alias(alias)
