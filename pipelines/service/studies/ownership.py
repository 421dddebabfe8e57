"""Rules on whose study, and whose registered model, a request may change."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from pipelines.service.errors import ForbiddenError, require_scope
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.model_grants import ModelGrants
from tracking.store.registered_names import RegisteredName, find_registered_name
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions


class Ownership:
    """Owners of the studies and registered models of one store.

    Args:
        store: the store.
        protected_aliases: aliases that only admins move, and those to whom an admin granted it.
    """

    def __init__(self, store: Store, protected_aliases: Collection[str] = ()) -> None:
        self._protected = frozenset(protected_aliases)
        self._grants = ModelGrants(store)
        self._store = store
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)

    def require_study(self, name: str, caller: Identity) -> None:
        """Check that a caller may change a study.

        Raises:
            UnknownError: if there is no study of that name.
            ForbiddenError: if it belongs to another submitter and the caller is no admin.
        """
        require_scope(caller, "submit")
        # For its error: an unknown study is reported as unknown, and not as somebody else's.
        self._queue.get(name)
        submission = self._submissions.find(name)
        # A study of `kerastudy run` has no submission, and so no owner but the operator.
        is_owner = submission is not None and submission.submitter_id == caller.id
        if not is_owner and not caller.has_scope("admin"):
            whose = f"a study of {submission.submitter}" if submission else "not a study of this service's submitters"
            raise ForbiddenError(f"{name} is {whose}: only they and an admin may do that")

    def require_alias(self, name: str, alias: str, caller: Identity) -> None:
        """Check that a caller may move an alias of a registered model.

        Raises:
            ForbiddenError: if the name is neither the caller's nor granted to it, or the alias is protected.
        """
        if caller.has_scope("admin"):
            return
        with self._store.read() as connection:
            registered = find_registered_name(connection, name)
            owner = None if registered is None else self.find_other_owner(registered, caller, connection)
            grant = self._grants.find(name, caller.id, connection)
        if owner is not None:
            raise ForbiddenError(
                f"{name} is a registered model of {owner}: only they, an admin and those to whom they granted it move "
                "its aliases"
            )
        if alias in self._protected and not (grant and grant.moves_protected):
            raise ForbiddenError(
                f"{alias} is a protected alias (protected_aliases): only an admin and those to whom an admin granted "
                f"it move it: kerastudy model grant {name} {caller.name} --protected"
            )

    def find_other_owner(self, registered: RegisteredName, caller: Identity, connection: Connection) -> str | None:
        """Return the owner of a registered model's name; None where the caller may register under it."""
        if caller.has_scope("admin") or registered.owner_id == caller.id:
            return None
        if self._grants.find(registered.name, caller.id, connection) is not None:
            return None
        return registered.owner or "this service's operator"
