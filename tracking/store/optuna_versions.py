"""Version of Optuna's tables, read and written without Alembic, which takes longer to load than Optuna itself.

Optuna reads both versions by Alembic whenever it opens a storage, and Alembic is needed only where they differ.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa

_REVISION: Final = re.compile(r"^(revision|down_revision) = [\"']([^\"']+)[\"']", re.MULTILINE)
# As Alembic creates it.
_alembic: Final = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


@lru_cache(maxsize=1)
def find_newest_version() -> str:
    """Return the version that the installed Optuna reads: the migration that no other one follows."""
    from optuna.storages import _rdb

    followed: set[str] = set()
    found: set[str] = set()
    for file in (Path(_rdb.__file__).parent / "alembic" / "versions").glob("*.py"):
        named = dict(_REVISION.findall(file.read_text(encoding="utf-8")))
        found.add(named["revision"])
        followed.add(named.get("down_revision", ""))
    (newest,) = found - followed
    return newest


def read_version(engine: sa.Engine) -> str | None:
    """Return the version of Optuna's tables in a database; None where Optuna has not stored one."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(_alembic.name):
            return None
        return connection.scalar(sa.select(_alembic.c.version_num))


def create_tables(engine: sa.Engine) -> bool:
    """Create Optuna's tables in a database without any, as Optuna does; return whether that was so."""
    import optuna
    from optuna.storages._rdb import models

    with engine.begin() as connection:
        if sa.inspect(connection).has_table(models.StudyModel.__tablename__):
            return False
        models.BaseModel.metadata.create_all(connection)
        about = {"schema_version": models.SCHEMA_VERSION, "library_version": optuna.__version__}
        connection.execute(sa.insert(models.VersionInfoModel).values(version_info_id=1, **about))
        # Last: without it, as after a kill, Optuna repeats all of this.
        _alembic.create(connection, checkfirst=True)
        connection.execute(sa.insert(_alembic).values(version_num=find_newest_version()))
    return True
