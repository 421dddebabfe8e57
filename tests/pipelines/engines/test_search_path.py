"""Order of `sys.path` in workers, and workers in folders whose files have the names of libraries."""

from __future__ import annotations

import sys
import sysconfig

from pipelines.engines import fork_server
from pipelines.engines.fork_server import ForkedProcess
from pipelines.engines.search_path import order_search_path

_REPORT = """
import os, sys, pathlib
import colorsys, pipelines, search_spaces, tracking
found = [colorsys.__file__, *pipelines.__path__, *search_spaces.__path__, *tracking.__path__]
found += [str(sys.path.index({folder!r}) > sys.path.index({libraries!r})), str(os.environ.get("PYTHONSAFEPATH"))]
pathlib.Path({report!r}).write_text("\\n".join(found))
"""


def test_folders_of_the_user_come_last():
    """Python's folders and those of the installed libraries come first; otherwise the order stays."""
    standard, installed = sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]
    assert order_search_path(["/b", standard, "", installed, "/a"]) == [standard, installed, "/b", "", "/a"]


def test_files_of_the_user_hide_nothing(tmp_path, monkeypatch):
    """A server and its processes find our packages and Python's modules where the user's folders have others."""
    here, project = tmp_path / "here", tmp_path / "project"
    here.mkdir()
    (project / "pipelines").mkdir(parents=True)
    files = [here / f"{name}.py" for name in ("signal", "selectors", "colorsys", "tracking")]
    for file in (*files, project / "search_spaces.py", project / "pipelines" / "__init__.py"):
        file.write_text("raise SystemExit(1)\n")
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", ["", str(here), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(project))
    monkeypatch.setattr(fork_server, "_servers", {})
    report = tmp_path / "report.txt"
    program = _REPORT.format(folder=str(here), libraries=sysconfig.get_paths()["purelib"], report=str(report))
    process = ForkedProcess("json", exec, (program, {}))
    try:
        process.start()
        process.join()
    finally:
        fork_server.stop_servers()
    *found, is_last, safe_path = report.read_text().splitlines()
    assert not [file for file in found if file.startswith(str(tmp_path))]
    assert (is_last, safe_path) == ("True", "None")
