"""Installed code, apart from the user's."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from pipelines.spec import installed_code
from pipelines.spec.installed_code import is_installed


@pytest.mark.parametrize(
    "file", [json.__file__, np.__file__, installed_code.__file__, sysconfig.get_path("purelib") + "/a"]
)
def test_installed(file):
    """Python's own modules, packages, and kerastudy's packages wherever they lie."""
    assert is_installed(file)


def test_not_installed(tmp_path):
    """A folder of the user's, and the checkout that holds kerastudy's packages."""
    assert not is_installed(str(tmp_path / "model.py"))
    assert not is_installed(str(Path(installed_code.__file__).parents[2] / "script.py"))


def test_a_link_to_a_package_is_installed(tmp_path):
    """The file that a link leads to counts."""
    (tmp_path / "link").symlink_to(Path(np.__file__).parent)
    assert is_installed(str(tmp_path / "link" / "a.py"))
