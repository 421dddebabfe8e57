"""Rules on whose study, and whose registered model, a request may change."""

from __future__ import annotations

from pipelines.service.errors import ForbiddenError, require_scope
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.registered_names import RegisteredName, find_registered_name
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions


class Ownership:
    """Owners of the studies and registered models of one store."""

    def __init__(self, store: Store) -> None:
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

    def require_registered_model(self, name: str, caller: Identity) -> None:
        """Check that a caller may move the aliases of a registered model.

        Raises:
            ForbiddenError: if it belongs to another submitter and the caller is no admin.
        """
        with self._store.read() as connection:
            registered = find_registered_name(connection, name)
        owner = None if registered is None else find_other_owner(registered, caller)
        if owner is not None:
            raise ForbiddenError(f"{name} is a registered model of {owner}: only they and an admin move its aliases")


def find_other_owner(registered: RegisteredName, caller: Identity) -> str | None:
    """Return the owner of a registered model's name; None where the caller may use it."""
    if caller.has_scope("admin") or registered.owner_id == caller.id:
        return None
    return registered.owner or "this service's operator"
