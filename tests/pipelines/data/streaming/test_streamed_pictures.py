"""Pictures that are read in pieces, held to the same pictures in memory."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.data import scratch
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import iterate_raw, load_part, load_raw
from pipelines.data.raw import PARTS
from pipelines.data.reading import pictures
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(scratch, "CHUNK_ROWS", 7)
    monkeypatch.setattr(pictures, "_READ_TOGETHER", 5)


def write_pictures(folder, names, *, colour=False, size=(6, 5)):
    """Write grey pictures, the first one in colour if so chosen."""
    random = np.random.default_rng(len(names))
    for index, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shape = (*size, 3) if colour and index == 0 else size
        Image.fromarray(random.integers(0, 255, shape, dtype=np.uint8)).save(file)


def read(folder, keys, prefers="image"):
    """Return the summaries of the pictures in memory and in pieces."""
    return [
        prepare(DataSpec.model_validate({**keys, "streaming": way}), folder, folder / f"ready-{way}", prefers)
        for way in (False, True)
    ]


def assert_equal(folder, memory, streamed):
    """Assert that both have the same pictures and classes in every part."""
    assert streamed.digest == memory.digest
    assert streamed.features == memory.features
    assert streamed.task == memory.task
    assert streamed.report == memory.report
    assert [note for note in streamed.notes if "(data.streaming)" not in note] == list(memory.notes)
    assert (streamed.streaming, memory.streaming) == ("rows", "")
    for part in PARTS:
        ours, theirs = (load_part(folder / f"ready-{way}", part) for way in (True, False))
        np.testing.assert_array_equal(ours.y, theirs.y)
        np.testing.assert_allclose(ours.x["image"], theirs.x["image"], rtol=1e-6, atol=1e-6)
        if part != "train":
            raw = load_raw(folder / "ready-False", part)["image"]
            pieces = [each["image"] for each in iterate_raw(folder / "ready-True", part, rows=3)]
            np.testing.assert_array_equal(np.concatenate(pieces), raw)


NAMES = [f"{label}/{number}.png" for label in ("cat", "dog", "owl") for number in range(12)]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("prefers", ["image", "pixels"])
def test_an_image_folder_is_prepared_as_in_memory(tmp_path, colour, prefers):
    """Grey pictures keep one channel, and one picture in colour decides for all."""
    write_pictures(tmp_path / "set", NAMES, colour=colour)
    assert_equal(tmp_path, *read(tmp_path, {"source": "set", "split": {"seed": 1}}, prefers))


def test_folders_of_parts_are_prepared_as_in_memory(tmp_path):
    """Train, validation and test folders, of which one is in colour."""
    for part in ("train", "validation", "test"):
        write_pictures(tmp_path / "set" / part, NAMES, colour=part == "validation")
    assert_equal(tmp_path, *read(tmp_path, {"source": "set"}))


def test_pictures_that_a_table_names_are_prepared_as_in_memory(tmp_path):
    """A table of file names and labels, with one broken file that is left out."""
    write_pictures(tmp_path, NAMES)
    (tmp_path / NAMES[3]).write_bytes(b"no picture")
    table = pd.DataFrame({"file": NAMES, "label": [name[:3] for name in NAMES]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    keys = {"source": "labels.csv", "target": "label", "skip_broken": True, "image_size": [4, 4]}
    assert_equal(tmp_path, *read(tmp_path, keys))


def test_pictures_of_several_sizes_are_refused_as_in_memory(tmp_path):
    """The message names two of them and the key that resizes."""
    write_pictures(tmp_path / "set", NAMES[:-1])
    write_pictures(tmp_path / "set", NAMES[-1:], size=(9, 9))
    found = []
    for way in (False, True):
        spec = DataSpec.model_validate({"source": "set", "streaming": way})
        with pytest.raises(InputError, match="pictures have 2 sizes") as caught:
            prepare(spec, tmp_path, tmp_path / "ready", "image")
        found.append(str(caught.value))
    assert found[0] == found[1]


def test_streaming_of_pictures_is_chosen_by_the_limit_of_memory(tmp_path):
    """The line names both keys."""
    write_pictures(tmp_path / "set", NAMES)
    spec = DataSpec.model_validate({"source": "set"})
    summary = prepare(spec, tmp_path, tmp_path / "ready", "image", memory_bytes=12_000)
    assert "limits.memory" in summary.notes[0] and "data.streaming" in summary.notes[0]
