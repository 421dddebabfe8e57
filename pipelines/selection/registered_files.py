"""Files of registered models in the study folders of a home, held to the digests that the store has of them.

They are recorded when a study's winner is registered and when a trial is promoted, and forgotten when a model is
written anew. A model is checked before kerastudy loads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection

from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import MODEL_CODE, MODEL_FILE, USER_MODEL_WEIGHTS_FILE, WEIGHTS_FILE
from pipelines.workspace.home import Home
from search_spaces.errors import ModelChangedError
from tracking.store.database import Store
from tracking.store.model_digests import ModelDigests, compute_digests, describe_changes

_FILES = (MODEL_FILE, WEIGHTS_FILE, USER_MODEL_WEIGHTS_FILE)


class RegisteredFiles:
    """Digests of the registered models in one home's study folders."""

    def __init__(self, home: Home, store: Store) -> None:
        self._home = home
        self._digests = ModelDigests(store)

    def record(self, study: str, model: PastTrial) -> None:
        """Record the digests of a model that is registered."""
        folder = Path(model.folder)
        self._digests.record(self._name(folder), study, compute_digests(folder, _list_files(folder)))

    def forget(self, folders: Iterable[Path], connection: Connection) -> None:
        """Forget the digests of models that are removed or written anew, in a transaction."""
        self._digests.forget([self._name(folder) for folder in folders], connection)

    def check(self, model: PastTrial) -> None:
        """Check the files of a model, where it is registered.

        Raises:
            ModelChangedError: if they are not those that were registered; names them.
        """
        folder = Path(model.folder)
        recorded = self._digests.find(self._name(folder))
        if recorded is None:
            return
        # A model file is written from the weights when it is needed, so that it may be newer than the record.
        late = {MODEL_FILE} - recorded.keys()
        found = compute_digests(folder, (file for file in _list_files(folder) if file.name not in late))
        if changes := describe_changes(recorded, found):
            raise ModelChangedError(
                f"the files of the model in {folder} are not those that were registered, so it is not loaded "
                f"({changes}): restore them from a backup, or take another trial"
            )

    def _name(self, folder: Path) -> str:
        # Below the home: a home can be moved.
        return folder.relative_to(self._home.folder).as_posix()


def check_registered_files(home: Home, model: PastTrial) -> None:
    """Check the files of a model of a home, where it is registered; see `RegisteredFiles.check`."""
    with Store.open(home.store) as store:
        RegisteredFiles(home, store).check(model)


def compute_model_digest(model: PastTrial) -> str:
    """Return a digest of all that a model is loaded from: its files, and which prepared data lies beside it."""
    folder, data = Path(model.folder), Path(model.data)
    files = compute_digests(folder, _list_files(folder))
    # Not read: prepared rows may be as large as the disk, and are never changed in place.
    prepared = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in sorted(data.glob("*"))]
    return hashlib.sha256(repr((sorted(files.items()), prepared)).encode()).hexdigest()


def _list_files(folder: Path) -> list[Path]:
    code = (file for file in (folder / MODEL_CODE).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return [*(folder / name for name in _FILES if (folder / name).is_file()), *sorted(code)]
