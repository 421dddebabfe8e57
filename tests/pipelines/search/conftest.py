"""A study in Optuna on a real database."""

from __future__ import annotations

import optuna
import pytest
from search_bench import LOSS, RATE
from small_studies import space_of

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.spec.schema import SearchSpec


@pytest.fixture
def storage(store):
    return store.open_optuna_storage()


@pytest.fixture
def search(storage):
    """Return a function that opens the study as a supervisor does; called again, it is the next supervisor."""

    def open_it(space=None, objective=LOSS, epochs=10, **spec):
        spec = {"sampler": "random", "pruner": "none", "seed": 1, **spec}
        return OptunaSearch(
            storage, "it", SearchSettings(space or space_of(rate=RATE), objective, SearchSpec(**spec), epochs)
        )

    return open_it


@pytest.fixture
def in_optuna(storage):
    """Return a function that reads the trials as Optuna has them."""
    return lambda: optuna.load_study(study_name="it", storage=storage).get_trials()
