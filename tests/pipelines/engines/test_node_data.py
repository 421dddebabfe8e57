"""Copies of data on a node: made once, complete or absent, and removed with the last worker."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

from pipelines.engines.node_data import NodeData


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The machine's temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_copy_is_made_once(temporary):
    """A second worker of the node takes the copy that is there."""
    reads = []

    def read():
        reads.append(1)
        return b"rows"

    first = NodeData("c", "n").copy("key", {"below/rows.npy": read})
    second = NodeData("c", "n").copy("key", {"below/rows.npy": read})
    assert first == second
    assert (first / "below" / "rows.npy").read_bytes() == b"rows"
    assert reads == [1]
    assert NodeData("c", "other").copy("key", {"below/rows.npy": read}) != first


def test_a_copy_that_fails_is_made_again(temporary):
    """What was written of a copy has no name that anybody reads."""

    def fail():
        raise OSError("lost on the way")

    data = NodeData("c", "n")
    with pytest.raises(OSError, match="lost on the way"):
        data.copy("key", {"a": lambda: b"1", "b": fail})
    copy = data.copy("key", {"a": lambda: b"1", "b": lambda: b"2"})
    assert sorted(file.name for file in copy.iterdir()) == ["a", "b"]


def test_the_last_worker_removes_the_copies(temporary):
    """While another worker of the node is at work, its data stays."""
    data = NodeData("c", "n")
    copy = data.copy("key", {"a": lambda: b"1"})
    other = copy.parent / ".users" / str(os.getppid())
    other.touch()
    data.leave()
    assert copy.exists()
    other.unlink()
    NodeData("c", "n").leave()
    assert not copy.parent.exists()


def test_what_the_dead_left_is_removed(temporary):
    """Copies of workers that were killed go when the next worker starts on the machine."""
    script = (
        "import os, sys, tempfile\n"
        "from pipelines.engines.node_data import NodeData\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "NodeData('dead', 'n').copy('key', {'a': lambda: b'1'})\n"
        "os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(temporary)], check=False)
    assert (temporary / "kerastudy-node-dead-n" / "key").exists()
    NodeData("c", "n")
    assert [folder.name for folder in temporary.glob("kerastudy-node-*")] == ["kerastudy-node-c-n"]
