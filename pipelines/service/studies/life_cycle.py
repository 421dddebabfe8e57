"""Life cycle of a service's studies: deleted, archived and shown again, by their owners and by admins.

It loads MLflow's client into the service, as a promotion does.
"""

from __future__ import annotations

from collections.abc import Collection

from pipelines.operations.archive import ArchiveResult, archive_study, unarchive_study
from pipelines.operations.delete import DeletionResult, delete_study
from pipelines.service.studies.ownership import Ownership
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.workspace.home import Home
from tracking.store.accounts import Identity
from tracking.store.database import Store


class LifeCycle:
    """Deletion and archive of the studies of one home."""

    def __init__(
        self, home: Home, store: Store, supervisors: SupervisorPool, protected_aliases: Collection[str] = ()
    ) -> None:
        self._home = home
        self._supervisors = supervisors
        self._ownership = Ownership(store, protected_aliases)

    def delete(self, name: str, caller: Identity, *, force: bool) -> DeletionResult:
        """Delete a study; with `force`, even if a promoted model or another study needs it.

        Raises:
            UnknownError: if there is none of that name.
            ForbiddenError: if it belongs to another submitter, or an alias would go that the caller may not move.
            ConflictError: if it runs, or something needs it.
            KerastudyError: if MLflow does not answer.
        """
        self._ownership.require_study(name, caller)
        # A process that has not claimed the study yet would start it meanwhile.
        self._supervisors.withdraw(name)
        try:

            def may_remove(model: str, alias: str) -> None:
                self._ownership.require_alias(model, alias, caller)

            return delete_study(self._home, name, force=force, may_remove=may_remove)
        finally:
            self._supervisors.forget_order()

    def archive(self, name: str, caller: Identity) -> ArchiveResult:
        """Archive a study that has ended.

        Raises:
            UnknownError: if there is none of that name.
            ForbiddenError: if it belongs to another submitter.
            ConflictError: if it has not ended.
            KerastudyError: if MLflow does not answer.
        """
        self._ownership.require_study(name, caller)
        return archive_study(self._home, name)

    def unarchive(self, name: str, caller: Identity) -> ArchiveResult:
        """Show an archived study again.

        Raises:
            UnknownError: if there is none of that name.
            ForbiddenError: if it belongs to another submitter.
            KerastudyError: if MLflow does not answer.
        """
        self._ownership.require_study(name, caller)
        return unarchive_study(self._home, name)
