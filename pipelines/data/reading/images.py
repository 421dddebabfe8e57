"""Folders of pictures: one sub-folder a class, or train/validation/test folders that hold these."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.data.raw import GivenPart, Origin, RawData, combine
from pipelines.data.reading.pictures import SUFFIXES, read_picture_files
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.source_paths import SUFFIXES as SUFFIXES_OF_TABLES
from pipelines.data.reading.source_paths import find_suffix
from pipelines.data.scratch import Scratch
from search_spaces.errors import suggest_choice

_PART_FOLDERS: dict[str, GivenPart | None] = {
    "train": None,
    "training": None,
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_MOST_SUFFIXES = 5
_MOST_LOOKED_AT = 1_000


def read_images(file: SourceFile) -> RawData:
    """Return the pictures below a folder, their classes named by its sub-folders.

    Raises:
        InputError: if there are no pictures, some cannot be read, or sizes differ and no size is set.
    """
    folders = _list_folders(file.path)
    if not _are_parts(folders):
        return _read_classes(file.path, _list_classes(file.path), file)
    parts: dict[GivenPart | None, Path] = {}
    for folder in folders:
        part = _PART_FOLDERS[folder.name.lower()]
        if part in parts:
            message = f"{file.name} has {parts[part].name} and {folder.name}, which mean the same; remove or rename one"
            raise file.refuse(message)
        parts[part] = folder
    if file.part is not None:
        message = f"{file.name} holds train, validation or test folders itself; name one of them, such as"
        raise file.refuse(f"{message} {file.name}/{folders[0].name}")
    classes = _list_classes(parts[None])
    read = [_read_classes(parts[part], classes, replace(file, part=part)) for part in sorted(parts, key=str)]
    # Rows that are still to be split come first, as with separate files.
    read.sort(key=lambda raw: raw.origins[0].part is not None)
    named = ", ".join(f"{folder.name} ({raw.rows} pictures)" for folder, raw in zip(_sort(parts), read, strict=True))
    note = f"the folders of {file.name} are parts of the data, not classes: {named}"
    joined = combine(match_parts(read, file.scratch), file.scratch)
    return replace(joined, notes=(note, *joined.notes))


def match_parts(parts: Sequence[RawData], scratch: Scratch | None = None) -> list[RawData]:
    """Return pictures of several sources with the channels and class numbers that they have together."""
    pictures = [part for part in parts if part.array is not None and (part.class_names or part.picture_files)]
    if len(pictures) < 2 or len(pictures) < len(parts):
        return list(parts)
    channels = max(part.array.shape[-1] for part in pictures if part.array is not None)
    first = pictures[0]
    return [_match(part, first, channels, scratch) for part in pictures]


def _match(part: RawData, first: RawData, channels: int, scratch: Scratch | None) -> RawData:
    array, labels = part.array, part.labels
    assert array is not None
    assert labels is not None
    if array.ndim == 4 and array.shape[-1] == 1 and channels == 3:
        # A view of a file's pixels stays one.
        array = np.repeat(array, 3, axis=-1) if scratch is None else np.broadcast_to(array, (*array.shape[:3], 3))
    # A part may lack a class of the training rows, and then numbers the others differently.
    if part.class_names != first.class_names and set(part.class_names) <= set(first.class_names):
        numbers = [first.class_names.index(name) for name in part.class_names]
        labels = labels.assign(**{"class": [numbers[index] for index in labels["class"]]})
        part = replace(part, class_names=first.class_names)
    return replace(part, array=array, labels=labels)


def _are_parts(folders: Sequence[Path]) -> bool:
    names = [folder.name.lower() for folder in folders]
    # Classes may be called train and test too, but then they hold pictures and no folders.
    return (
        len(names) > 1
        and all(name in _PART_FOLDERS for name in names)
        and any(_PART_FOLDERS[name] is None for name in names)
        and all(_list_folders(folder) for folder in folders)
    )


def _sort(parts: dict[GivenPart | None, Path]) -> list[Path]:
    ordered = sorted(parts, key=str)
    return [parts[part] for part in sorted(ordered, key=lambda part: part is not None)]


def _list_folders(folder: Path) -> list[Path]:
    # Sorted, since the order of a folder differs between file systems.
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _list_classes(folder: Path) -> list[str]:
    return [entry.name for entry in _list_folders(folder)]


def _read_classes(folder: Path, classes: Sequence[str], file: SourceFile) -> RawData:
    """Return the pictures of a folder, labelled by their sub-folders' indexes among the classes."""
    name = file.name if folder == file.path else f"{file.name}/{folder.name}"
    unknown = [each for each in _list_classes(folder) if each not in classes]
    if unknown:
        message = (
            f'{name} has a class "{unknown[0]}" that the training folder lacks; {suggest_choice(unknown[0], classes)}'
        )
        raise file.refuse(message)
    below = {label: _list_files(folder / label) for label in classes if (folder / label).is_dir()}
    found = [(classes.index(label), path) for label, paths in below.items() for path in paths if _is_picture(path)]
    if not found:
        raise file.refuse(_explain_none(folder, name))
    empty = sorted(set(below) - {classes[index] for index, _ in found})
    if empty:
        raise file.refuse(f'{name} has no pictures of class "{empty[0]}"; remove the folder, or add pictures')
    names = [path.relative_to(folder).as_posix() for _, path in found]
    spec = file.spec
    read = read_picture_files(
        names, folder, spec.image_size, file.key, skip_broken=spec.skip_broken, scratch=file.scratch
    )
    others = [path for paths in below.values() for path in paths if not _is_picture(path)]
    return RawData(
        origins=(Origin(name, file.key, "file", [names[index] for index in read.read], file.part),),
        array=read.array,
        labels=pd.DataFrame({"class": [found[index][0] for index in read.read]}),
        class_names=tuple(classes),
        notes=(*_note_others(others, folder, name), *read.notes),
    )


def _explain_none(folder: Path, name: str) -> str:
    files = [path for path in itertools.islice(folder.rglob("*"), _MOST_LOOKED_AT) if path.is_file()]
    tables = [path for path in files if find_suffix(path.name) in SUFFIXES_OF_TABLES]
    deep = "**/" if any(path.parent != folder for path in tables) else ""
    advice = f"; its tables are read as {name}/{deep}*{find_suffix(tables[0].name)}" if tables else ""
    return f"{name} holds no pictures; expected one sub-folder a class with {', '.join(SUFFIXES)} files{advice}"


def _list_files(folder: Path) -> list[Path]:
    """Return the files below a class's folder, without hidden ones."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _note_others(others: Sequence[Path], folder: Path, name: str) -> tuple[str, ...]:
    """Return notes on files that are not read: of another kind, or in no class's folder."""
    notes = []
    loose = [path for path in folder.iterdir() if path.is_file() and _is_picture(path)]
    if loose:
        count = "1 picture" if len(loose) == 1 else f"{len(loose)} pictures"
        notes.append(f"{count} beside the folders of the classes in {name} left out, such as {loose[0].name}")
    if others:
        suffixes = Counter(path.suffix.lower() or "no ending" for path in others).most_common()
        listed = ", ".join(f"{suffix} {count}" for suffix, count in suffixes[:_MOST_SUFFIXES])
        more = ", ..." if len(suffixes) > _MOST_SUFFIXES else ""
        count = "1 file is no picture" if len(others) == 1 else f"{len(others)} files are no pictures"
        notes.append(f"{count} and left out in {name}: {listed}{more}")
    return tuple(notes)
