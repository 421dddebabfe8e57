"""Rules on whose study, and whose registered model, a request may change."""

from __future__ import annotations

from sqlalchemy import Connection

from pipelines.service.errors import ForbiddenError, require_scope
from tracking.store.database import Store
from tracking.store.registered_names import find_registered_name
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions
from tracking.store.tokens import Token


class Ownership:
    """Owners of the studies and registered models of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)

    def require_study(self, name: str, token: Token) -> None:
        """Check that a token may change a study.

        Raises:
            UnknownError: if there is no study of that name.
            ForbiddenError: if it belongs to another submitter and the token is not an admin's.
        """
        require_scope(token, "submit")
        # For its error: an unknown study is reported as unknown, and not as somebody else's.
        self._queue.get(name)
        submission = self._submissions.find(name)
        # A study of `kerastudy run` has no submission, and so no owner but the operator.
        owner = submission.submitter if submission else ""
        if owner != token.name and not token.has_scope("admin"):
            whose = f"a study of {owner}" if owner else "not a study of this service's submitters"
            raise ForbiddenError(f"{name} is {whose}: only they and an admin may do that")

    def require_registered_model(self, name: str, token: Token) -> None:
        """Check that a token may move the aliases of a registered model.

        Raises:
            ForbiddenError: if it belongs to another submitter and the token is not an admin's.
        """
        with self._store.read() as connection:
            # The first study that registered under a name stands for its owner; see `StudyService.submit`.
            first = find_registered_name(connection, name)
            owner = None if first is None else self.find_other_owner(first, token, connection)
        if owner is not None:
            raise ForbiddenError(f"{name} is a registered model of {owner}: only they and an admin move its aliases")

    def find_other_owner(self, study: str, token: Token, connection: Connection) -> str | None:
        """Return the owner of the names that a study was the first to register; None where the token may use them."""
        submission = self._submissions.find(study, connection)
        if token.has_scope("admin") or (submission is not None and submission.submitter == token.name):
            return None
        return submission.submitter if submission else "this service's operator"
