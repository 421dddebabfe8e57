"""Data in an object storage: read by a server that speaks S3 and checks signatures, with keys from the environment."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest
from command import kerastudy
from object_storage import serve_objects
from stored_files import make_files, read, write_here

from pipelines.data.reading import remote_files
from search_spaces.errors import InputError

BUCKET = "training"
MADE_UP = "not/the+secret1234567890"
STUDY = """
study: bucket
data: {source: "s3://training/tables/rows-*.csv", target: y}
model: mlp
space: {extends: mlp, depth: 1, units: 4, epochs: 1}
budget: {trials: 1}
resources: {workers: 1, fleet: "off"}
selection: {finalists: 0}
"""


@pytest.fixture(scope="module")
def storage():
    """Yield a server that has a bucket."""
    with serve_objects() as server:
        server.put(BUCKET, make_files())
        yield server


@pytest.fixture
def environment(storage, monkeypatch):
    """Set the variables that give access, and let no connection outlive the test."""
    import s3fs

    monkeypatch.setattr(remote_files, "_PAUSE_S", 0.001)
    for name, value in storage.environment.items():
        monkeypatch.setenv(name, value)
    # In a process one connection would serve an address for good, also with other keys.
    s3fs.S3FileSystem.clear_instance_cache()
    yield monkeypatch
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("source", "prefers"), [("tables/rows-0.csv", "dense"), ("tables/rows-*.csv", "dense"), ("pictures", "image")]
)
@pytest.mark.usefixtures("environment")
def test_objects_are_read_as_files_are(tmp_path, source, prefers, streaming):
    """A table, a pattern of them and a folder of pictures have the rows that the same files have."""
    write_here(tmp_path)
    found = read(tmp_path, f"s3://{BUCKET}/{source}", prefers, streaming=streaming)
    here = read(tmp_path, source, prefers, streaming=streaming)
    assert (found.digest, found.rows) == (here.digest, here.rows)
    assert bool(found.streaming) == streaming


@pytest.mark.parametrize("source", ["tables/rows-0.csv", "tables/rows-*.csv", "tables/none.csv", "pictures"])
@pytest.mark.parametrize(
    "wrong", [{"AWS_SECRET_ACCESS_KEY": MADE_UP}, {"AWS_ACCESS_KEY_ID": "AKIAMADEUP", "AWS_SECRET_ACCESS_KEY": MADE_UP}]
)
def test_wrong_keys_are_an_error_that_repeats_none(environment, tmp_path, source, wrong):
    """The line names the address and the variables, and holds no key, whatever the address names."""
    for name, value in wrong.items():
        environment.setenv(name, value)
    with pytest.raises(InputError, match=r"may not be read.*credentials come from the environment") as caught:
        read(tmp_path, f"s3://{BUCKET}/{source}", "image" if source == "pictures" else "dense")
    assert caught.value.problems[0].path == "data.source"
    assert not any(value in str(caught.value) for value in wrong.values())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "may not be read.*credentials come from the env"),
        ({"AWS_PROFILE": "nobody"}, "may not be read.*nobody.*credentials come from the environment"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, r"cannot be read.*Invalid endpoint.*check the variables of s3fs"),
        ({"AWS_ENDPOINT_URL": f"//me:{MADE_UP}@"}, r"cannot be read.*check the variables of s3fs"),
    ],
)
def test_variables_that_give_no_access_are_named(environment, tmp_path, variables, expected):
    """A missing key, an unknown profile and an endpoint that is none: each line leads to the environment."""
    for name, value in variables.items():
        environment.setenv(name, value) if value else environment.delenv(name)
    with pytest.raises(InputError, match=expected) as caught:
        read(tmp_path, f"s3://{BUCKET}/tables/rows-0.csv")
    assert MADE_UP not in str(caught.value)


@pytest.mark.parametrize("source", ["elsewhere/rows.csv", "training/tables/none.csv", "training/none"])
@pytest.mark.usefixtures("environment")
def test_what_is_not_there_is_named(tmp_path, source):
    """A bucket, an object and a folder that do not exist: the line is about the address."""
    with pytest.raises(InputError, match=f"there is no file or folder s3://{source}"):
        read(tmp_path, f"s3://{source}")


@pytest.mark.usefixtures("environment")
def test_a_pattern_that_nothing_fits_is_named(tmp_path):
    """The line is about the pattern."""
    with pytest.raises(InputError, match=r"there is no file at s3://training/tables/none-\*\.csv, or none fits it"):
        read(tmp_path, f"s3://{BUCKET}/tables/none-*.csv")


@pytest.mark.long  # a study, twice
def test_a_study_keeps_its_rows_and_no_key(storage, tmp_path):
    """No file and no answer holds a key, and the home goes on elsewhere with its copy, without any access."""
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    home, moved = tmp_path / "home", tmp_path / "moved"
    refused = kerastudy("run", "study.yaml", "--home", home, cwd=tmp_path, **{
        **storage.environment, "AWS_SECRET_ACCESS_KEY": MADE_UP})  # fmt: skip
    assert refused.returncode
    assert "credentials come from the environment" in refused.stderr
    done = kerastudy("run", "study.yaml", "--home", home, cwd=tmp_path, **storage.environment)
    assert done.returncode == 0, done.stderr
    asked = [kerastudy(*words, "--home", home, cwd=tmp_path) for words in (("show", "bucket"), ("report", "bucket"))]
    said = "".join(each.stdout + each.stderr for each in (refused, done, *asked)).encode()
    keys = [value.encode() for value in (storage.secret, storage.environment["AWS_ACCESS_KEY_ID"], MADE_UP)]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert [file for file in files if any(key in file.read_bytes() for key in keys)] == []
    assert not any(key in said for key in keys)
    shutil.move(home, moved)
    text = STUDY.replace("trials: 1", "trials: 2")
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    again = kerastudy("run", "study.yaml", "--home", moved, cwd=tmp_path, AWS_ENDPOINT_URL="http://127.0.0.1:9", **{
        name: value for name, value in storage.environment.items() if name != "AWS_ENDPOINT_URL"})  # fmt: skip
    assert again.returncode == 0, again.stderr
    note = "note: s3://training/tables/rows-*.csv could not be reached"
    assert note in again.stdout, again.stdout
    shown, _ = (
        kerastudy(*words, "--home", moved, cwd=tmp_path) for words in (("show", "bucket"), ("report", "bucket"))
    )
    report = "".join(file.read_text() for file in moved.rglob("report*.html"))
    with closing(sqlite3.connect(moved / "mlflow.db")) as database:
        (tagged,) = database.execute("select value from tags where key = 'kerastudy.notes'").fetchone()
    assert all("could not be reached" in text for text in (shown.stdout, report, tagged))
