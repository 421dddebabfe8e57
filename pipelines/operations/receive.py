"""Reception of a study whose model or data are Python objects: they become files in the study's folder.

The files are written once. A later run compares digests and goes on with what is there, so that a study resumes, is
exported and is replayed as one with a file. They are complete or absent: a folder is written aside and renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.data.examples.datasets import is_dataset
from pipelines.data.reading.source_paths import resolve_source_path
from pipelines.objects.code_files import CodeFiles, list_changes, make_code_files, read_python
from pipelines.objects.data_files import REFERENCE, ReceivedData, read_data, read_digest
from pipelines.objects.kerastudy_pickle import name_python
from pipelines.operations.check import clean_up_on_failure
from pipelines.spec.code_references import is_reference, split_reference
from pipelines.study.load import Written, check_document, read_written
from pipelines.study.stored import failed_before_start, find_known_study
from pipelines.study.study import Study
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, Problem
from search_spaces.yaml_document import Document, make_document
from search_spaces.yaml_writer import to_yaml

_PARTS = {"source": "train", "validation_source": "validation", "test_source": "test"}
"""Keys of the section `data`, with the part that an object there holds."""


@dataclass(frozen=True)
class ReceivedObjects:
    """Objects of a study.

    Attributes:
        model: the model, where it is code that came as an object.
        loader: the function that makes the data, where it came as an object.
        data: the data, where they are objects.
    """

    model: CodeFiles | None = None
    loader: CodeFiles | None = None
    data: Any = None

    @property
    def code(self) -> tuple[CodeFiles, ...]:
        """Return all code among them."""
        return tuple(each for each in (self.model, self.loader) if each is not None)

    @property
    def is_empty(self) -> bool:
        """Whether there is no object."""
        return not self.code and self.data is None


def read_keys(written: Written | None, keys: Mapping[str, Any]) -> tuple[Document, Path, ReceivedObjects]:
    """Return a study file with keys in place of its own, the folder that its paths start from, and the objects in it.

    Raises:
        InputError: if it cannot be read, or an object in it cannot be used.
    """
    if written is None or isinstance(written, Mapping):
        plain, objects = separate_objects({**(written or {}), **keys})
        return make_document(_name_study(plain), "kerastudy.run"), Path.cwd(), objects
    plain, objects = separate_objects(keys)
    document, folder = read_written(written)
    for key, value in plain.items():
        document = document.replace_value((key,), value, f"kerastudy.run({key}=...)")
    return document, folder, objects


def separate_objects(written: Mapping[str, Any]) -> tuple[dict[str, Any], ReceivedObjects]:
    """Return the keys of a study file with a reference in place of each object, and the objects.

    Raises:
        InputError: if an object is no model, or cannot be sent to a worker process.
    """
    plain, model, loader, data = dict(written), None, None, None
    if "model" in plain and not isinstance(plain["model"], str):
        _check_model(plain["model"])
        model = _make_code("model", plain["model"])
        plain["model"] = model.reference
    if "data" in plain:
        section = _make_section(plain["data"])
        objects = {key: section[key] for key in _PARTS if key in section and not _is_named(section[key])}
        if objects:
            data = _join_parts(section, objects)
            if callable(data) and not is_dataset(data):
                loader, data = _make_code("data", data), None
            section = {key: value for key, value in section.items() if key not in _PARTS}
            section = {"source": loader.reference if loader else REFERENCE, **section}
        plain["data"] = section
    return plain, ReceivedObjects(model, loader, data)


@contextmanager
def receive_study(
    document: Document, objects: ReceivedObjects, folder: Path, home: Home, *, evolve: bool = False
) -> Iterator[Study]:
    """Yield a checked study whose objects are files in the home; an error inside removes those of a new study.

    Args:
        document: the keys of a study file.
        objects: the objects that they refer to.
        folder: folder that relative paths start from.
        home: the home to write to.
        evolve: whether the study of this name may have another space.

    Raises:
        InputError: if the study is not valid, or one of this name has another model or other data.
    """
    if objects.is_empty:
        yield check_document(document, folder, with_code=True)
        return
    # All problems of the keys first: nothing is written for a study that is not valid.
    checked = check_document(replace(document, data=_resolve_paths(document.data, objects, folder)), folder)
    with clean_up_on_failure(home.locate_study(checked.name)):
        yield _keep_objects(checked, objects, home, evolve=evolve)


def _keep_objects(checked: Study, objects: ReceivedObjects, home: Home, *, evolve: bool) -> Study:
    place = home.locate_objects(checked.name)
    study = replace(checked, base=place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".objects-") as scratch:
        aside = Path(scratch) / place.name
        aside.mkdir()
        for code in objects.code:
            code.write_text(aside)
        is_known = _is_known(replace(study, base=aside), objects, place, home, evolve=evolve)
        data = read_data(objects.data) if objects.data is not None else None
        if is_known and data is not None:
            _check_data(data, objects.data, place)
        if not is_known:
            _write(objects, data, aside)
            _replace_folder(place, aside)
    # Each time, since settings such as the budget may change. With this file the command line resumes the study.
    settings = {**study.document.data, "space": study.space.to_dict()}
    write_text(place / "study.yaml", to_yaml(settings))
    return study


def _name_study(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the keys with the model's name as the study's, where they have none."""
    model = plain.get("model")
    return plain if "study" in plain or not model else {"study": str(model).rpartition(":")[2], **plain}


def _make_section(data: Any) -> dict[str, Any]:
    """Return the section `data` of a study file: itself, or one whose source is the value."""
    if isinstance(data, Mapping) and "source" in data:
        return dict(data)
    return {"source": data}


def _join_parts(section: Mapping[str, Any], objects: Mapping[str, Any]) -> Any:
    """Return the data: the source's, or a dict of parts where several sources are objects."""
    for key in _PARTS:
        if key in section and key not in objects:
            message = f"expected all sources as objects or all as names, got the name {section[key]!r} here"
            raise InputError(Problem(message, f"data.{key}"))
    if len(objects) == 1:
        return objects["source"]
    if any(callable(each) and not is_dataset(each) for each in objects.values()):
        raise InputError(Problem("pass one function that returns a dict of parts, not several functions", "data"))
    return {_PARTS[key]: each for key, each in objects.items()}


def _check_model(value: Any) -> None:
    # By name: importing Keras takes seconds. A model is callable, as a function is.
    if any(base.__name__ == "KerasSaveable" for base in type(value).__mro__):
        kind = type(value).__name__
        message = f"got a finished model ({kind}); pass a function build(hp) that makes and compiles it"
        raise InputError(Problem(message, "model"))
    if not callable(value) and not hasattr(value, "build"):
        message = f'expected a function of hp, a HyperModel, the name of a family or "file.py:function", got {value!r}'
        raise InputError(Problem(message, "model"))


def _make_code(key: str, value: Any) -> CodeFiles:
    try:
        return make_code_files(key, value)
    except InputError as error:
        raise InputError([Problem(problem.message, key) for problem in error.problems]) from error


def _resolve_paths(written: dict[str, Any], objects: ReceivedObjects, folder: Path) -> dict[str, Any]:
    """Return the keys with full paths of all files but those of objects: those are in another folder."""
    resolved = dict(written)
    model, section = written.get("model"), written.get("data")
    if objects.model is None and is_reference(model):
        file, name = split_reference(str(model), folder, "model")
        resolved["model"] = f"{file}:{name}"
    if objects.loader is None and objects.data is None and isinstance(section, dict):
        named = {key: section[key] for key in _PARTS if _is_named(section.get(key))}
        resolved["data"] = {**section, **{key: _resolve_sources(each, folder, key) for key, each in named.items()}}
    return resolved


def _is_named(source: Any) -> bool:
    """Return whether a source is the name of a file or loader, or a list of such names, and no object."""
    names = source if isinstance(source, list) and source else [source]
    return all(isinstance(name, str) for name in names)


def _resolve_sources(source: str | list[str], folder: Path, key: str) -> str | list[str]:
    if isinstance(source, str):
        return _resolve_source(source, folder, f"data.{key}")
    return [_resolve_source(each, folder, f"data.{key}") for each in source]


def _resolve_source(source: str, folder: Path, key: str) -> str:
    if (path := resolve_source_path(source, folder)) is not None:
        return str(path.resolve())
    if source.startswith(("sklearn:", "keras:")) or "://" in source:
        return source
    file, name = split_reference(source, folder, key)
    return f"{file}:{name}"


def _is_known(study: Study, objects: ReceivedObjects, place: Path, home: Home, *, evolve: bool) -> bool:
    """Return whether the home has this study with the files of its objects.

    Raises:
        InputError: if the study of this name has other code, or another version of Python wrote it.
    """
    for code in objects.code:
        before = read_python(place, code.stem)
        if before not in (None, name_python()) and home.is_initialized:
            message = (
                f'the code of study "{study.name}" came from Python {before}, which this one, {name_python()}, cannot '
                f"read; go on with Python {before}, or give this study another name"
            )
            raise InputError(Problem(message, "study"))
    try:
        known = find_known_study(study, home, evolve=evolve)
    except InputError as error:
        raise _name_changes(error, objects.model, place) from None
    if known is None or failed_before_start(known):
        return False
    loader = objects.loader
    if loader is not None and (file := place / f"{loader.stem}.py").exists() and file.read_text() != loader.text:
        message = "the function that makes the data has changed since the study began; give this study another name"
        raise InputError(Problem(message, "data"))
    return all((place / name).exists() for name in _list_files(objects))


def _name_changes(error: InputError, model: CodeFiles | None, place: Path) -> InputError:
    """Return the error of a study that is another one, with what in its code has changed."""
    file = place / f"{model.stem}.py" if model else None
    if model is None or file is None or not file.exists() or file.read_text(encoding="utf-8") == model.text:
        return error
    changed = ", ".join(list_changes(file.read_text(encoding="utf-8"), model.text))
    return InputError([replace(each, message=f"{each.message} (changed: {changed})") for each in error.problems])


def _check_data(data: ReceivedData, value: Any, place: Path) -> None:
    """Make sure that data are those that the study began with.

    A dataset that draws at random gives other rows each time; the study goes on with those of its beginning.
    """
    if data.digest == read_digest(place) or (_draws(value) and read_data(value).digest != data.digest):
        return
    message = "the data has changed since the study began; give this study another name, or choose another home"
    raise InputError(Problem(message, "data"))


def _draws(value: Any) -> bool:
    """Return whether data may differ each time that they are read."""
    return any(map(is_dataset, value.values())) if isinstance(value, Mapping) else is_dataset(value)


def _list_files(objects: ReceivedObjects) -> list[str]:
    code = [f"{each.stem}{suffix}" for each in objects.code for suffix in (".py", ".pkl")]
    return code if objects.data is None else [*code, "data.py", "data.json"]


def _write(objects: ReceivedObjects, data: ReceivedData | None, folder: Path) -> None:
    for code in objects.code:
        code.write_pickle(folder)
    if data is not None:
        data.write(folder)


def _replace_folder(place: Path, aside: Path) -> None:
    for file in aside.iterdir():
        with file.open("rb") as written:
            # Before the rename: after a power cut, a name must not be there without its content.
            os.fsync(written.fileno())
    # A folder can be renamed over an empty one only. These are of no study: a known one keeps its files.
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
