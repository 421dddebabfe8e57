"""A study file for a data file, ready to run."""

import inline_engine
import numpy as np
import pandas as pd
import pytest
from inline_engine import InlineEngine
from PIL import Image

from pipelines.operations.check import check_study
from pipelines.operations.starter.init_study import init_study
from pipelines.operations.starter.series import SeriesRequest
from pipelines.study.load import load_study
from search_spaces.errors import InputError

ROWS = 60


class QuietChannel:
    """Channel of jobs whose messages nobody reads."""

    def beat(self):
        """Do nothing."""

    def report(self, message):
        """Do nothing."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, which holds the data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inline_engine, "FakeChannel", QuietChannel)
    return tmp_path


def write_table(file="d.csv", **columns):
    random = np.random.default_rng(0)
    table = {"row_id": range(1, ROWS + 1), "age": random.integers(18, 80, ROWS), "city": ["Bern", "Zug", "Genf"] * 20}
    pd.DataFrame({**table, **columns}).to_csv(file, index=False)


def test_a_table_becomes_a_study(folder):
    """The file states what was inferred: identifiers are left out, rows without a target too; `validate` takes it."""
    write_table(bought=[*["yes", "no"] * 29, None, None])
    written = init_study("d.csv", engine=InlineEngine())
    assert (written.file, written.study, written.targets, written.model) == ("d.yaml", "d", ("bought",), "mlp")
    study = load_study(folder / "d.yaml")
    assert study.spec.data.drop == ["row_id"]
    assert study.spec.data.drop_unlabelled
    assert "a guess, since it is the last column" in (folder / "d.yaml").read_text()
    assert any(note.startswith("data.drop: [row_id]") for note in written.notes)
    assert check_study(study, folder / "check", InlineEngine()).summary.task.kind == "binary"


def test_pictures_of_several_sizes(folder):
    """They are resized to a size that the file states, and no target is guessed."""
    for name in ("cat", "dog"):
        (folder / "pics" / name).mkdir(parents=True)
        for number in range(12):
            shape = (8 + number % 2, 10, 3)
            Image.fromarray(np.full(shape, number * 20, "uint8")).save(folder / "pics" / name / f"{number}.png")
    written = init_study("pics", name="animals", engine=InlineEngine())
    assert (written.file, written.model, written.targets) == ("animals.yaml", "cnn", ())
    assert load_study(folder / "animals.yaml").spec.data.image_size == (8, 10)


@pytest.mark.long
def test_a_folder_of_texts_gets_a_loader(folder):
    """One file a row, its folder the label; the loader goes where no study file could be written."""
    for name in ("good", "bad"):
        (folder / "films" / name).mkdir(parents=True)
        for number in range(15):
            text = f"this is a {name} film with a {name} end, and number {number} of the year"
            (folder / "films" / name / f"{number}.txt").write_text(text)
    written = init_study("films", engine=InlineEngine())
    assert (written.targets, written.model) == (("label",), "text")
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["films.yaml", "films_loader.py"]
    (folder / "films.yaml").unlink()
    with pytest.raises(InputError, match=r"films_loader\.py exists"):
        init_study("films", engine=InlineEngine())


def write_visits():
    when = [*pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")] * 2
    visits = [(number % 7) * 10.5 + number % 3 for number in range(240)]
    remarks = [f"on day {day} the rain came early and {day * 3} guests left again" for day in range(240)]
    table = {"day": when, "museum": ["art"] * 120 + ["war"] * 120, "remark": remarks, "visits": visits}
    pd.DataFrame(table).to_csv("v.csv", index=False)


def test_a_forecast_is_written(folder):
    """Windows, their split in time and the windows' lengths to search; text is left out."""
    write_visits()
    written = init_study("v.csv", ["visits"], request=SeriesRequest("day", "museum", 7), engine=InlineEngine())
    study = load_study(folder / "v.yaml")
    series, text = study.spec.data.series, (folder / "v.yaml").read_text()
    assert (written.model, series.time, series.by, series.length, series.horizon) == ("series", "day", "museum", 24, 7)
    assert study.spec.data.drop == ["remark"]
    assert any(
        note.startswith("data.drop: [remark] (windows hold numbers, dates and categories") for note in written.notes
    )
    assert [(each.low, each.high) for each in study.space.declared if each.name == "window"] == [(6, 24)]
    assert "windows, divided in time: the newest are the test rows" in text
    assert "# known: [COLUMN] under series" in text
    assert check_study(study, folder / "check", InlineEngine()).summary.features.series == (24, 1)


def test_rows_that_look_like_a_series_are_noted(folder):
    """They are divided in time, and the note has the command that forecasts them."""
    write_visits()
    written = init_study("v.csv", engine=InlineEngine())
    assert written.model == "text"
    assert load_study(folder / "v.yaml").spec.data.split.order == "day"
    assert any("kerastudy init v.csv --target visits --time day --by museum" in note for note in written.notes)
    assert any(note.startswith("data.split: {order: day") for note in written.notes)
    assert not any("split at random" in note for note in written.notes)
    assert "# - the rows look like a series" in (folder / "v.yaml").read_text()


def test_nothing_is_overwritten_and_nothing_left(folder):
    """An existing file, a wrong target and data that cannot be read are errors, and write nothing."""
    write_table(y=range(ROWS))
    before = sorted(folder.iterdir())
    for call, message in (
        ({"file": folder / "d.csv"}, r"d\.csv exists"),
        ({"targets": ["z"]}, 'no column "z"'),
        ({"source": "missing.csv"}, "no file or folder missing.csv"),
        ({"file": folder / "studies" / "d.yaml"}, "there is no folder"),
    ):
        with pytest.raises(InputError, match=message):
            init_study(**{"source": "d.csv", "engine": InlineEngine(), **call})
    assert sorted(folder.iterdir()) == before


def test_the_file_may_lie_elsewhere(folder):
    """Its source is relative to its own folder, and to no other."""
    write_table(y=range(ROWS))
    (folder / "studies").mkdir()
    init_study("d.csv", ["y"], file=folder / "studies" / "one.yaml", name="one", engine=InlineEngine())
    assert load_study(folder / "studies" / "one.yaml").spec.data.source == "../d.csv"
