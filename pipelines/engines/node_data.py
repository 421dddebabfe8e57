"""Copies of prepared data on the nodes of a cluster: each file crosses the network once for each node.

A copy is complete when it has its name: it is written aside and renamed. Copies of engines that have ended without
removing them are removed by the next worker on the node.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

_PREFIX = "kerastudy-node-"
_USERS = ".users"


class NodeData:
    """The copies on one node, shared by its workers.

    Args:
        cluster: name of the engine that the workers are of, without a separator of paths.
        node: name of the node: several of them may be on one machine.
    """

    def __init__(self, cluster: str, node: str) -> None:
        _remove_abandoned()
        self._folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{cluster}-{node}"
        users = self._folder / _USERS
        users.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._user = users / str(os.getpid())
        self._user.touch()

    def copy(self, key: str, files: Mapping[str, Callable[[], Any]]) -> Path:
        """Return the node's copy of a folder; make it where there is none.

        Args:
            key: name of the folder's content, without a separator of paths.
            files: for each relative path a function that returns its bytes, or an array of them.

        Raises:
            OSError: if it cannot be written.
        """
        copy = self._folder / key
        with _lock(self._folder / f"{key}.lock"):
            if not copy.exists():
                aside = self._folder / f"{key}.aside"
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir()
                for name, read in files.items():
                    (aside / name).parent.mkdir(parents=True, exist_ok=True)
                    with (aside / name).open("wb") as file:
                        file.write(memoryview(read()))
                aside.rename(copy)
        return copy

    def leave(self) -> None:
        """Remove the copies where this was the node's last worker."""
        self._user.unlink(missing_ok=True)
        if not any(self._user.parent.iterdir()):
            shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _remove_abandoned() -> None:
    """Remove the copies of workers that have all ended, of this user and on this machine."""
    for users in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_USERS}"):
        with suppress(OSError):
            if not any(psutil.pid_exists(int(user.name)) for user in users.iterdir()):
                shutil.rmtree(users.parent, ignore_errors=True)
