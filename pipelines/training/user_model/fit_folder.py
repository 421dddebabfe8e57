"""Working directory of a custom `fit`: a folder of its trial, so that relative paths of two trials never meet."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

_FILE_NAME = re.compile(r"[\w.-][\w./-]*\.\w+")


@contextmanager
def work_in(folder: Path | None, beside: Path) -> Iterator[None]:
    """Run a block in a new folder, which stays if the block leaves files there; None changes nothing.

    An error about a file that is not there, but in the directory before or in `beside`, gets a note on what to write.
    """
    if folder is None:
        yield
        return
    shutil.rmtree(folder, ignore_errors=True)  # an earlier attempt's
    folder.mkdir(parents=True)
    before = Path.cwd()
    try:
        with chdir(folder):
            yield
    except Exception as error:
        for name in dict.fromkeys(_FILE_NAME.findall(str(error))):
            if not (folder / name).exists() and any((place / name).exists() for place in (before, beside)):
                error.add_note(f'fit works in a folder of its trial; read the file by Path(__file__).parent / "{name}"')
        raise
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
