"""Files that a user's file consists of."""

from __future__ import annotations

import pytest

from pipelines.spec.imported_code import list_imported_code


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a model of several files, and one that nothing imports."""
    texts = {
        "model.py": "import keras, os.path\nfrom parts.gate import Gate\ndef build(hp):\n    import later\n",
        "later.py": "from parts import other\nimport sklearn.svm as svm\n",
        "parts/__init__.py": "",
        "parts/gate.py": "from . import base\nfrom .base import Layer\nimport model\n",
        "parts/base.py": "from ..model import x",
        "parts/other.py": "import not_installed_anywhere",
        "alone.py": "import torch",
    }
    (tmp_path / "parts").mkdir()
    for path, text in texts.items():
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_file_with_all_that_it_imports(folder):
    """Modules and packages beside it count, and what they import, inside of functions too; others do not."""
    code = list_imported_code(folder / "model.py")
    expected = {"model.py", "later.py", "parts/__init__.py", "parts/gate.py", "parts/base.py", "parts/other.py"}
    assert set(code.files) == expected
    assert all(file == folder / path for path, file in code.files.items())


def test_packages_from_elsewhere(folder):
    """Top-level names of what is not the user's, without Python's own; one that is missing is named too."""
    assert list_imported_code(folder / "model.py").packages == {"keras", "sklearn", "not_installed_anywhere"}


def test_a_file_that_is_not_python(tmp_path):
    """It is left to its import, which reports it."""
    (tmp_path / "broken.py").write_text("def build(:\n")
    assert list(list_imported_code(tmp_path / "broken.py").files) == ["broken.py"]
