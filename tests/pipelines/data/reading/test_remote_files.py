"""Data that is named by address: fetched whole, resumed where the connection breaks, and known to have changed."""

import http.server
import json
import re
import threading
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_summary
from pipelines.data.reading import remote_files
from pipelines.data.reading.source_paths import CONFINED
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

ROWS = 400


class Handler(http.server.BaseHTTPRequestHandler):
    """A server of one folder of bytes with ranges and tags, which breaks off answers as it is told."""

    def do_HEAD(self):
        """Answer with the headers."""
        self.answer(has_body=False)

    def do_GET(self):
        """Answer with the bytes."""
        self.answer(has_body=True)

    def answer(self, *, has_body):
        """Answer as the server's settings say."""
        server = self.server
        server.requests.append(self.path)
        if self.path == "/moved.csv":
            self.send_response(302)
            self.send_header("Location", "/rows.csv")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start, stop = 0, len(content)
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(len(content), int(last) + 1 if last else len(content))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{server.tag}"')
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        body = content[start:stop]
        if has_body and server.breaks:
            server.breaks -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            self.connection.close()
        elif has_body:
            self.wfile.write(body)

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def server():
    """Yield a server on loopback."""
    with serve_on(0) as served:
        yield served


@contextmanager
def serve_on(port):
    """Run a server on a port of loopback, 0 for any."""
    served = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    served.files, served.tag, served.breaks, served.requests = {}, "1", 0, []
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(remote_files, "_PAUSE_S", 0.001)
    monkeypatch.setattr(remote_files, "_BLOCK", 2_000)


def make_rows(seed=0):
    """Return a table as CSV."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"a": random.normal(size=ROWS), "b": random.choice(list("xyz"), ROWS)})
    table["y"] = table["a"] * 2 + random.normal(size=ROWS)
    return table.to_csv(index=False).encode()


def locate(server, name="rows.csv"):
    """Return the address of a file."""
    return f"http://127.0.0.1:{server.server_port}/{name}"


def read(server, tmp_path, expected=None, **keys):
    """Return the summary of the data."""
    spec = DataSpec.model_validate({"source": locate(server), "target": "y", **keys})
    return prepare(spec, tmp_path, tmp_path / "study" / "data", "dense", expected)


@pytest.fixture(autouse=True)
def _study(tmp_path):
    (tmp_path / "study").mkdir()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_is_read_as_if_it_were_here(server, tmp_path, streaming):
    """Rows and digest are those of the file, and messages name the address."""
    server.files["/rows.csv"] = make_rows()
    (tmp_path / "rows.csv").write_bytes(make_rows())
    found = read(server, tmp_path, streaming=streaming)
    spec = DataSpec.model_validate({"source": "rows.csv", "target": "y", "streaming": streaming})
    assert found.digest == prepare(spec, tmp_path, tmp_path / "here" / "data", "dense").digest
    assert found.source == locate(server)


def test_a_connection_that_breaks_is_resumed(server, tmp_path):
    """Every second answer ends in its middle, and the rows are all there."""
    server.files["/rows.csv"] = make_rows()
    server.breaks = 5
    assert sum(read(server, tmp_path).rows.values()) == ROWS
    assert server.breaks == 0


def test_a_connection_that_always_breaks_is_an_error_and_no_half_of_the_data(server, tmp_path, monkeypatch):
    """Nothing is prepared, and the line names the address and what to do."""
    server.files["/rows.csv"] = make_rows()
    monkeypatch.setattr(remote_files, "TRIES", 2)
    server.breaks = 10**6
    with pytest.raises(InputError, match=r"rows\.csv cannot be read.*nothing of it is used") as caught:
        read(server, tmp_path)
    assert caught.value.problems[0].path == "data.source"
    assert not (tmp_path / "study" / "data").exists()


def test_data_that_changed_is_noticed(server, tmp_path):
    """A study that has trials refuses other rows; the same rows with another tag are fetched again, and the same."""
    server.files["/rows.csv"] = make_rows()
    digest = read(server, tmp_path).digest
    server.requests.clear()
    assert read(server, tmp_path, digest).digest == digest
    assert len(server.requests) < 4  # looked at, and not fetched
    server.tag = "2"
    assert read(server, tmp_path, digest).digest == digest
    server.tag, server.files["/rows.csv"] = "3", make_rows(seed=1)
    with pytest.raises(InputError, match="the data has changed since the study began"):
        read(server, tmp_path, digest)


def test_a_server_that_is_away_leaves_a_study_its_copy(server, tmp_path):
    """A study that has its data goes on without the storage, and a note says so for as long as it is so."""
    server.files["/rows.csv"] = make_rows()
    spec = DataSpec.model_validate({"source": locate(server), "target": "y"})
    digest = read(server, tmp_path).digest
    server.shutdown()
    server.server_close()
    folder = tmp_path / "study" / "data"
    found = prepare(spec, tmp_path, folder, "dense", digest)
    (note,) = found.unreached
    assert re.fullmatch(
        rf"{locate(server)} could not be reached at \d.* UTC \(\w+\): its copy of \d.* UTC is used", note
    )
    assert (found.digest, found.notes[0]) == (digest, note)
    assert load_summary(folder) == found
    assert json.loads((folder / "summary.json").read_text())["notes"] == list(found.notes)
    with serve_on(server.server_address[1]) as back:
        back.files["/rows.csv"] = make_rows()
        again = prepare(spec, tmp_path, folder, "dense", digest)
    assert (again.digest, again.unreached, note in again.notes) == (digest, (), False)
    assert load_summary(folder) == again


def test_a_file_that_is_not_there_is_named(server, tmp_path):
    """The line names the address."""
    with pytest.raises(InputError, match=r"there is no file or folder http://127\.0\.0\.1:\d+/rows\.csv"):
        read(server, tmp_path)


def test_a_service_follows_no_redirect(server, tmp_path, monkeypatch):
    """An allowed server could lead to an address inside; a person's own command may follow."""
    server.files["/rows.csv"] = make_rows()
    assert read(server, tmp_path, source=locate(server, "moved.csv")).rows["train"] > 0
    monkeypatch.setenv(CONFINED, "1")
    (tmp_path / "other").mkdir()
    spec = DataSpec.model_validate({"source": locate(server, "moved.csv"), "target": "y"})
    with pytest.raises(InputError, match="redirects to another address"):
        prepare(spec, tmp_path, tmp_path / "other" / "data", "dense")


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    """The line is the command that installs it."""
    find_spec = remote_files.importlib.util.find_spec
    monkeypatch.setattr(
        remote_files.importlib.util, "find_spec", lambda name: None if name == "s3fs" else find_spec(name)
    )
    spec = DataSpec.model_validate({"source": "s3://bucket/rows.csv", "target": "y"})
    with pytest.raises(InputError, match=r'pip install "kerastudy\[s3\]"'):
        prepare(spec, tmp_path, tmp_path / "study" / "data", "dense")


def test_a_name_cannot_leave_the_copy():
    """A storage's keys may hold anything."""
    with pytest.raises(ValueError, match="impossible name"):
        remote_files._name("bucket/../../etc/passwd", "bucket/data")
    assert remote_files._name("bucket/data/a/b.csv", "bucket/data") == "a/b.csv"
