"""Mark that ties a store on a database server to the one folder that holds its files.

Hosts that share a store share its home, on storage that each mounts at the same path: prepared data, checkpoints,
models and uploads are files there, and their paths are in the store.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from search_spaces.errors import InputError
from tracking.store.database import Store
from tracking.store.tables import about

FILE_NAME: Final = "home-id"
_KEY: Final = "home"


def check_home(store: Store, folder: Path, *, is_shared: bool) -> None:
    """Check that a folder is the home of a store; the first folder becomes it.

    Args:
        store: the store, on a database server.
        folder: the home as this host has it.
        is_shared: whether other processes work on the store now. Otherwise the home may have been moved.

    Raises:
        InputError: if the store's files are in another folder, or it is mounted elsewhere on another host.
    """
    with store.read() as connection:
        stored = connection.scalar(_QUERY)
    if stored is None:
        stored = _store_mark(store, {"id": _write_id(folder), "folder": str(folder)})
    mark = json.loads(stored)
    found = _read_id(folder)
    if found != mark["id"]:
        has = "is another store's" if found else f"has no file {FILE_NAME} of it"
        raise InputError(
            f"{folder} is not the home of the store {store}, which was at {mark['folder']}; it {has}: mount the "
            "storage that the other hosts use there, or name it with --home"
        )
    if mark["folder"] == str(folder):
        return
    if is_shared:
        raise InputError(
            f"the home of the store {store} is at {mark['folder']} on other hosts and at {folder} here: mount it at "
            "the same path, since paths are stored"
        )
    _store_mark(store, {**mark, "folder": str(folder)}, replaces=stored)


def forget_home(connection: sa.Connection) -> None:
    """Forget which folder is the home of a store: the store is a copy, and the next folder becomes its home."""
    connection.execute(sa.delete(about).where(about.c.key == _KEY))


_QUERY: Final = sa.select(about.c.value).where(about.c.key == _KEY)


def _store_mark(store: Store, mark: dict[str, str], replaces: str | None = None) -> str:
    """Store a mark, and return the one that is stored then: another process may have been faster."""
    value = json.dumps(mark)
    with suppress(sa.exc.IntegrityError), store.write() as connection:
        if replaces is None:
            connection.execute(sa.insert(about).values(key=_KEY, value=value))
        else:
            unchanged = about.c.key == _KEY, about.c.value == replaces
            connection.execute(sa.update(about).where(*unchanged).values(value=value))
    with store.read() as connection:
        return str(connection.scalar(_QUERY))


def _write_id(folder: Path) -> str:
    """Write a new id into a folder that has none; return the one that it has then."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{FILE_NAME}-{secrets.token_hex(4)}"
    aside.write_text(secrets.token_hex(8), encoding="ascii")
    try:
        # A link does not replace the file of another process.
        with suppress(FileExistsError):
            os.link(aside, folder / FILE_NAME)
    finally:
        aside.unlink()
    return _read_id(folder)


def _read_id(folder: Path) -> str:
    try:
        return (folder / FILE_NAME).read_text(encoding="ascii").strip()
    except OSError:
        return ""
