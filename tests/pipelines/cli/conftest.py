"""The command in this process."""

import sys

import pytest

from pipelines import cli


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in this process, in `tmp_path`: exit code, output, errors."""
    for name in ("KERASTUDY_HOME", "KERASTUDY_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kerastudy", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run
