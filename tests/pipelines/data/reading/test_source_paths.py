"""Which files a source names, and what is refused before anything is read."""

import os

import pytest

from pipelines.data.reading import source_paths
from pipelines.data.reading.source_paths import (
    check_source_paths,
    expand_pattern,
    find_sources,
    find_suffix,
    is_loader,
    list_source_files,
    resolve_source_path,
)
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError


def spec(source, **keys) -> DataSpec:
    return DataSpec.model_validate({"source": source, **keys})


@pytest.mark.parametrize("source", ["sklearn:iris", "keras:mnist", "load.py:rows", "https://example.org/d.csv"])
def test_some_sources_name_no_file(tmp_path, source):
    """A named set, a loader and an address are no paths."""
    assert resolve_source_path(source, tmp_path) is None


def test_paths_start_from_the_study_file(tmp_path):
    """A relative path starts from the study file's folder; an absolute one stands for itself."""
    assert resolve_source_path("data/d.csv", tmp_path) == tmp_path / "data" / "d.csv"
    assert resolve_source_path("/data/d.csv", tmp_path) == (tmp_path / "/data/d.csv")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hdfs://example/d.csv", "got hdfs://; download the file and name it, or write a loader"),
        (
            "e.csv",
            'there is no file or folder e.csv; did you mean "d.csv"? The choices are: d.csv, empty.csv, notes.doc',
        ),
        (
            "deep/d.csv",
            "there is no file or folder deep/d.csv, nor the folder that it would be in; a relative path begins at the "
            "study file's folder",
        ),
        ("/deep/d.csv", "there is no file or folder /deep/d.csv, nor the folder that it would be in"),
        ("empty.csv", "empty.csv is empty"),
        ("notes.doc", 'got a file ending in ".doc"'),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, source, message):
    """A missing file names its neighbours, hidden ones apart."""
    for name, text in {"d.csv": "a\n1\n", "empty.csv": "", "notes.doc": "x", ".hidden.csv": "a"}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as refused:
        find_sources(source, tmp_path, "data.source")
    (problem,) = refused.value.problems
    assert problem.path == "data.source"
    assert message in problem.message


def test_every_source_is_looked_for(tmp_path):
    """Missing validation and test files are reported together with a missing source."""
    with pytest.raises(InputError) as refused:
        check_source_paths(spec("a.csv", validation_source="b.csv", test_source="c.csv"), tmp_path)
    assert [problem.path for problem in refused.value.problems] == [
        "data.source",
        "data.validation_source",
        "data.test_source",
    ]
    check_source_paths(spec("sklearn:iris"), tmp_path)


def test_files_that_are_named_twice(tmp_path):
    """A file within two patterns of one key is refused, and one of the training rows among test rows."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n1\n")
    for given, message in (
        (spec(["*.csv", "a.csv"]), "data.source: a.csv is named twice"),
        (
            spec("*.csv", test_source="b.csv"),
            "data.test_source: b.csv is among the files of data.source too, so test rows",
        ),
    ):
        with pytest.raises(InputError, match=message):
            check_source_paths(given, tmp_path)
    check_source_paths(spec("a.csv", validation_source="b.csv", test_source="b.csv"), tmp_path)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.CSV", ".csv"), ("a.b.csv.GZ", ".csv.gz"), ("a.tar.gz", ".tar.gz"), ("v1.2.parquet", ".parquet"), ("a", "")],
)
def test_ends_of_names(name, suffix):
    """Of a compressed file both ends count."""
    assert find_suffix(name) == suffix


def test_a_name_that_looks_like_a_pattern(tmp_path):
    """A file of that very name is no pattern."""
    (tmp_path / "a[1].csv").write_text("x\n1\n")
    assert find_sources("a[1].csv", tmp_path, "data.source") == [tmp_path / "a[1].csv"]


def test_a_loader_is_told_from_a_path():
    """`file.py:function` is a loader, wherever the file is; a path with a colon in a folder's name is none."""
    assert is_loader("load.py:rows")
    assert is_loader("code/load.py:rows")
    assert not is_loader("load.py")
    assert not is_loader("old.py:2/d.csv")


def test_all_files_of_a_study_are_known(tmp_path):
    """A folder counts with all that is in it, a loader with its file, a named set with none."""
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "1.png").touch()
    (tmp_path / "load.py").touch()
    found = list_source_files(spec("images", validation_source="load.py:rows", test_source="gone.csv"), tmp_path)
    assert sorted(os.path.relpath(path, tmp_path) for path in found) == [
        "images",
        "images/cat",
        "images/cat/1.png",
        "load.py",
    ]
    assert list_source_files(spec("sklearn:iris"), tmp_path) == []


def test_a_pipe_is_no_file(tmp_path):
    """It would be read for ever: nothing writes to it."""
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.csv is a named pipe; expected a file or a folder"):
        check_source_paths(spec("a.csv", target="y"), tmp_path)


@pytest.mark.parametrize("source", ["a" * 300, "a" * 300 + "/b.csv", "[a-z]" * 300])
def test_a_name_that_no_file_can_have(tmp_path, source):
    """It is a file that is not there, and no error of the system."""
    assert expand_pattern(source, tmp_path) == []
    with pytest.raises(InputError):
        check_source_paths(DataSpec(source=source), tmp_path)


def test_folders_of_any_depth_are_walked_once(tmp_path, monkeypatch):
    """`**/` many times in a row is as one of them: each would walk all folders again."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "d.csv").write_text("x")
    asked = []
    monkeypatch.setattr(source_paths.glob, "glob", lambda pattern, **_: asked.append(pattern) or [])
    for pattern in ("**/" * 50 + "d.csv", "a/**/**/d.csv", "a**/**/d.csv", "x**/d.csv"):
        expand_pattern(pattern, tmp_path)
    assert asked == ["**/d.csv", "a/**/d.csv", "a**/**/d.csv", "x**/d.csv"]
    monkeypatch.undo()
    assert expand_pattern("**/" * 50 + "d.csv", tmp_path) == ["a/b/d.csv"]
