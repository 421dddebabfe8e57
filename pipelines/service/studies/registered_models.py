"""Registered models of a service: owners and admins grant their names to others."""

from __future__ import annotations

from pipelines.operations import grants
from pipelines.service.errors import ForbiddenError, require_scope
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.model_grants import RegisteredModel


class RegisteredModels:
    """Names of registered models, as callers see and grant them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self) -> tuple[RegisteredModel, ...]:
        """Return every registered model."""
        return grants.list_models(self._store)

    def grant(self, name: str, submitter: str, caller: Identity, *, moves_protected: bool) -> RegisteredModel:
        """Let a submitter register and promote under a name; see `grant_model`.

        Raises:
            ForbiddenError: if the caller neither owns the name nor is an admin, or grants protected aliases.
        """
        self._require_owner(name, caller)
        if moves_protected and not caller.has_scope("admin"):
            raise ForbiddenError("only an admin grants protected aliases")
        return grants.grant_model(self._store, name, submitter, moves_protected=moves_protected)

    def revoke(self, name: str, submitter: str, caller: Identity) -> RegisteredModel:
        """Take a grant back; see `revoke_model`.

        Raises:
            ForbiddenError: if the caller neither owns the name nor is an admin.
        """
        self._require_owner(name, caller)
        return grants.revoke_model(self._store, name, submitter)

    def _require_owner(self, name: str, caller: Identity) -> None:
        require_scope(caller, "submit")
        owned = grants.find_model(self._store, name)
        # A grant is no ownership: it is not passed on.
        if owned.owner_id != caller.id and not caller.has_scope("admin"):
            whose = owned.owner or "this service's operator"
            raise ForbiddenError(f"{name} is a registered model of {whose}: only they and an admin grant it")
