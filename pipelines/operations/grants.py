"""Grants of registered models to submitters: give, revoke, list."""

from __future__ import annotations

from search_spaces.errors import ConflictError, UnknownError, suggest_choice
from tracking.store.accounts import Account, Accounts
from tracking.store.database import Store
from tracking.store.model_grants import ModelGrants, RegisteredModel
from tracking.store.registered_names import RegisteredName, find_registered_name


def find_model(store: Store, name: str) -> RegisteredName:
    """Return whom a registered model's name belongs to.

    Raises:
        UnknownError: if no study has claimed the name.
    """
    with store.read() as connection:
        found = find_registered_name(connection, name)
    if found is None:
        known = [model.name for model in ModelGrants(store).list_models()]
        raise UnknownError(f'there is no registered model "{name}"; {suggest_choice(name, known)}')
    return found


def grant_model(store: Store, name: str, submitter: str, *, moves_protected: bool) -> RegisteredModel:
    """Let a submitter register and promote under a name; return the model with its grants.

    Args:
        store: the store.
        name: the registered model.
        submitter: name of the account.
        moves_protected: whether it may move protected aliases too.

    Raises:
        UnknownError: if there is no such model or account.
        ConflictError: if the account owns the name.
    """
    owned, account = find_model(store, name), Accounts(store).get(submitter)
    if owned.owner_id == account.id and not moves_protected:
        raise ConflictError(f"{submitter} owns {name}: there is nothing to grant")
    with store.write() as connection:
        ModelGrants(store).put(name, account.id, connection, moves_protected=moves_protected)
    return _get(store, name)


def revoke_model(store: Store, name: str, submitter: str) -> RegisteredModel:
    """Take a grant back; return the model with its grants.

    Raises:
        UnknownError: if there is no such model, account or grant.
    """
    find_model(store, name)
    account: Account = Accounts(store).get(submitter)
    with store.write() as connection:
        was_there = ModelGrants(store).remove(name, account.id, connection)
    if not was_there:
        raise UnknownError(f"{submitter} has no grant of {name}")
    return _get(store, name)


def list_models(store: Store) -> tuple[RegisteredModel, ...]:
    """Return every registered model, with whom it belongs to and who else may use it."""
    return ModelGrants(store).list_models()


def _get(store: Store, name: str) -> RegisteredModel:
    return next(model for model in list_models(store) if model.name == name)
