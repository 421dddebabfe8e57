"""Upgrade of a store before anything works on it: kerastudy's tables and Optuna's."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.tables import SCHEMA_VERSION


@dataclass(frozen=True)
class StoreUpgrade:
    """Result of an upgrade.

    Attributes:
        store: address of the store, without a password.
        before: version of its schema before; None where it was created.
        after: version of its schema now.
        optuna: version of Optuna's tables now.
    """

    store: str
    before: int | None
    after: int
    optuna: str


def upgrade_store(home: Home, wait_s: float) -> StoreUpgrade:
    """Create or upgrade the tables of a store; of several processes at once, one does and the others wait.

    Args:
        home: the home of the store.
        wait_s: seconds to wait for a database server that is away.

    Raises:
        KerastudyError: if it cannot be opened, or was written by a newer kerastudy or Optuna.
    """
    before = Store.find_version(home.store, patience_s=wait_s)
    with Store.open(home.store, patience_s=wait_s) as store:
        storage = store.open_optuna_storage()
        optuna = storage.get_current_version()
        storage.engine.dispose()
        return StoreUpgrade(str(store), before, SCHEMA_VERSION, optuna)
