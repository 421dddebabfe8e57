"""Folders of texts, one sub-folder a class: a loader that reads them as a table."""

from __future__ import annotations

from pathlib import Path

_SUFFIX = ".txt"
TEXT, LABEL = "text", "label"
_CODE = '''"""Loader of {name}: a row for each text, its class by its folder. Written by `kerastudy init`."""

from pathlib import Path

import pandas as pd

FOLDER = Path({folder})


def load():
    """Return a table of texts and labels."""
    folder = Path(__file__).parent / FOLDER
    files = sorted(folder.glob("*/*{suffix}"))
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    return pd.DataFrame({{"{text}": texts, "{label}": [file.parent.name for file in files]}})
'''


def holds_texts(folder: Path) -> bool:
    """Return whether a folder holds one sub-folder of texts for each of several classes."""
    if not folder.is_dir():
        return False
    classes = [each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")]
    return len(classes) > 1 and all(any(each.glob(f"*{_SUFFIX}")) for each in classes)


def write_loader(folder: str) -> str:
    """Return the code of a loader for a folder, whose path is relative to the loader's file."""
    return _CODE.format(name=Path(folder).name, folder=repr(folder), suffix=_SUFFIX, text=TEXT, label=LABEL)
