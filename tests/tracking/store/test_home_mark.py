"""The one folder that belongs to a store on a database server."""

import shutil

import pytest

from search_spaces.errors import KerastudyError
from tracking.store.home_mark import FILE_NAME, check_home


def test_the_first_folder_is_the_home(store, tmp_path):
    """It gets a file with its id; every later host that has the file there passes."""
    for _ in range(2):
        check_home(store, tmp_path / "shared", is_shared=True)
    assert (tmp_path / "shared" / FILE_NAME).read_text()


def test_another_folder_is_refused(store, tmp_path):
    """A host without the shared storage, or with another store's, writes nothing."""
    check_home(store, tmp_path / "shared", is_shared=False)
    (tmp_path / "local").mkdir()
    with pytest.raises(KerastudyError, match=rf"local is not the home .*shared; it has no file {FILE_NAME}.*mount"):
        check_home(store, tmp_path / "local", is_shared=False)
    assert [*(tmp_path / "local").iterdir()] == []
    (tmp_path / "local" / FILE_NAME).write_text("another")
    with pytest.raises(KerastudyError, match="it is another store's"):
        check_home(store, tmp_path / "local", is_shared=False)


def test_hosts_have_it_at_one_path(store, tmp_path):
    """Paths are in the store, so a home at another path is refused while others use it, and may be moved otherwise."""
    check_home(store, tmp_path / "here", is_shared=False)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    with pytest.raises(KerastudyError, match="mount it at the same path"):
        check_home(store, tmp_path / "there", is_shared=True)
    check_home(store, tmp_path / "there", is_shared=False)
    with pytest.raises(KerastudyError, match="mount it at the same path"):
        check_home(store, tmp_path / "here", is_shared=True)
