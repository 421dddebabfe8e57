"""Grants of registered models: accounts besides a name's owner that may register and promote under it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tracking.store.database import Store
from tracking.store.tables import accounts, model_grants, now_ms, registered_names


@dataclass(frozen=True)
class ModelGrant:
    """Grant of one registered model to one account.

    Attributes:
        account: id of the account.
        submitter: name of the account, for display.
        moves_protected: whether it may move protected aliases too.
    """

    name: str
    account: str
    submitter: str
    moves_protected: bool


@dataclass(frozen=True)
class RegisteredModel:
    """Name of a registered model, with whom it belongs to.

    Attributes:
        name: the name.
        study: the first study that registers under it.
        owner: name of the owner; empty for the operator.
        grants: who else may use it.
    """

    name: str
    study: str
    owner: str
    grants: tuple[ModelGrant, ...]


class ModelGrants:
    """Table of grants. Methods that take a `connection` join its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, name: str, account: str, connection: sa.Connection, *, moves_protected: bool) -> None:
        """Add a grant, in place of an earlier one."""
        self.remove(name, account, connection)
        row = {"name": name, "account": account, "moves_protected": moves_protected, "created_ms": now_ms()}
        connection.execute(sa.insert(model_grants).values(**row))

    def remove(self, name: str, account: str, connection: sa.Connection) -> bool:
        """Remove a grant; return whether there was one."""
        statement = sa.delete(model_grants).where(model_grants.c.name == name, model_grants.c.account == account)
        return connection.execute(statement).rowcount > 0

    def find(self, name: str, account: str, connection: sa.Connection) -> ModelGrant | None:
        """Return the grant of a name to an account; None if it has none."""
        return next((each for each in self._list(connection) if (each.name, each.account) == (name, account)), None)

    def list_models(self) -> tuple[RegisteredModel, ...]:
        """Return every registered name, by name, with its grants."""
        with self._store.read() as connection:
            grants = self._list(connection)
            rows = connection.execute(sa.select(registered_names).order_by(registered_names.c.name)).all()
        return tuple(
            RegisteredModel(row.name, row.study, row.owner, tuple(each for each in grants if each.name == row.name))
            for row in rows
        )

    def _list(self, connection: sa.Connection) -> tuple[ModelGrant, ...]:
        # An account that was removed has no grants: the join leaves them out.
        query = sa.select(
            model_grants.c.name, model_grants.c.account, accounts.c.name, model_grants.c.moves_protected
        ).join_from(model_grants, accounts, accounts.c.id == model_grants.c.account)
        rows = connection.execute(query.order_by(model_grants.c.name, accounts.c.name))
        return tuple(ModelGrant(*row) for row in rows)
