"""MLflow's registry for promotion, on a real MLflow database, with versions that have no files."""

import mlflow
import projected
import pytest

from search_spaces.errors import KerastudyError
from tracking.mlflow.promotion import KnownVersion, RefusedError, Registry


@pytest.fixture(scope="module")
def registry(home):
    """A registry where `shop` has eleven versions of trial 3 of `it`, and `champion` is the second."""
    made = Registry(projected.uri(home), "home")
    client = mlflow.MlflowClient(projected.uri(home))
    client.create_registered_model("shop")
    tags = {"kerastudy.key": "home/it/3", "study": "it", "trial": "3"}
    for _ in range(11):
        client.create_model_version("shop", source=home.as_uri(), tags=tags, await_creation_for=0)
    client.set_registered_model_alias("shop", "champion", "2")
    return made


def test_the_newest_version_has_the_highest_number(registry):
    """Versions are text, in which 9 comes after 11; another home's trial of the same name is not found."""
    assert registry.find_version("shop", "it", 3).version == "11"
    assert registry.find_version("shop", "it", 4) is None
    assert Registry(registry._uri, "another").find_version("shop", "it", 3) is None


def test_an_alias_moves_only_from_the_version_that_was_compared(registry):
    """If another version has the alias by now nothing changes; otherwise the reason is stored with the version."""
    ours, second = (KnownVersion("shop", number, "it", "3", "") for number in ("11", "2"))
    with pytest.raises(KerastudyError, match=r"^version 2 .* has the alias champion of shop by now: promote again"):
        registry.move_alias(ours, "champion", ours, "{}", "better")
    registry.move_alias(ours, "champion", second, "{}", "better")
    assert registry.find_alias_version("shop", "champion") == ours
    version = mlflow.MlflowClient(registry._uri).get_model_version("shop", "11")
    assert version.description.startswith("better (")
    assert version.tags["kerastudy.promoted_over"] == "2"


def test_a_refusal_is_no_outage(registry, tmp_path):
    """A version without files is refused; an address without MLflow does not answer."""
    with pytest.raises(RefusedError):
        registry.fetch(KnownVersion("shop", "1", "it", "3", ""), tmp_path)
    with pytest.raises(KerastudyError, match=r"^MLflow at http://127.0.0.1:9 does not answer, so nothing was promoted"):
        Registry("http://127.0.0.1:9", "home")
