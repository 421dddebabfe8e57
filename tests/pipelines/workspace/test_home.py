"""Where state is kept."""

from pathlib import Path

import pytest

from pipelines.workspace.home import PROGRAMS, Home
from pipelines.workspace.restoration_mark import RestorationMark, write_mark
from search_spaces.errors import InputError


def test_the_option_goes_before_the_environment(tmp_path, monkeypatch):
    """`--home` wins over KERASTUDY_HOME, which wins over `.kerastudy` here."""
    monkeypatch.chdir(tmp_path)
    environment = {"KERASTUDY_HOME": str(tmp_path / "env")}
    assert Home.find("given", environment).folder == tmp_path / "given"
    assert Home.find(None, environment).folder == tmp_path / "env"
    assert Home.find(None, {}).folder == tmp_path / ".kerastudy"


def test_the_store_may_be_elsewhere(tmp_path):
    """The store is in the home unless KERASTUDY_STORE points to another database."""
    assert Home.find(str(tmp_path), {}).store == str(tmp_path)
    url = "postgresql://db/kerastudy"
    home = Home.find(str(tmp_path), {"KERASTUDY_STORE": url})
    assert (home.store, home.is_initialized) == (url, True)


def test_homes_may_share_compiled_programs(tmp_path, monkeypatch):
    """Programs are in the home unless KERASTUDY_PROGRAMS names a folder, from where a command stands."""
    home = Home(tmp_path / "home", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(PROGRAMS)
    assert home.programs == home.folder / "programs"
    monkeypatch.setenv(PROGRAMS, "shared")
    # Not the folder itself, whose other files must stay when the oldest programs go.
    assert home.programs == tmp_path / "shared" / "kerastudy-programs"


def test_naming_a_home_makes_nothing(tmp_path):
    """A home has begun once its store is there; asking for it creates no file."""
    home = Home.find(str(tmp_path / "new"), {})
    assert not home.is_initialized
    assert list(tmp_path.iterdir()) == []
    home.folder.mkdir()
    (home.folder / "kerastudy.db").touch()
    assert home.is_initialized


@pytest.mark.parametrize("below", ["", "/deeper/home"])
def test_a_home_cannot_be_a_file(tmp_path, below):
    """A file where the home should be, or above it, is refused before anything is tried."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"expected a folder to keep studies in, got a file; name another --home"):
        Home.find(f"{tmp_path}/notes.txt{below}", {})


def test_paths_of_a_study(tmp_path):
    """A study's data, trials and report lie below its folder; trials sort by number."""
    home = Home(tmp_path, str(tmp_path))
    study = tmp_path / "studies" / "s"
    assert (home.locate_study("s"), home.locate_data("s"), home.locate_report("s")) == (
        study,
        study / "data",
        study / "report",
    )
    assert home.locate_trial("s", 7) == Path(study / "trials" / "0007")


def test_the_command_that_completes_a_restoration_can_be_pasted(tmp_path):
    """Folders with a space are quoted in it, as a shell needs."""
    home = tmp_path / "a home"
    home.mkdir()
    write_mark(home, RestorationMark("d", "/backups/of monday.tar.gz", "then", "", ""))
    with pytest.raises(InputError) as raised:
        Home.find(str(home), {})
    assert f"kerastudy --home '{home}' restore '/backups/of monday.tar.gz' again" in str(raised.value)
