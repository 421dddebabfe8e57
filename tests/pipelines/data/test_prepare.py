"""Preparation from end to end, on small data."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.data import prepare as module
from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_examples_part, load_part, load_raw, load_summary
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError


def spec(source="data.csv", **keys) -> DataSpec:
    return DataSpec.model_validate({"source": source, **keys})


@pytest.fixture
def base(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "a b": random.normal(size=60),
            "colour": random.choice(["red", "green", ""], 60),
            "born": pd.date_range("2020-01-01", periods=60).astype(str),
            "fits": random.choice(["true", "false"], 60),
            "label": random.choice(["NA", "None", "x"], 60),
        }
    )
    table.loc[::7, "a b"] = np.nan
    table.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path


def test_a_table(base):
    """A CSV becomes arrays, a summary and a model; loading gives what preparing returned."""
    summary = prepare(spec(target="label"), base, base / "ready", "dense")
    assert load_summary(base / "ready") == summary
    assert dict(summary.rows) == {"train": 42, "validation": 12, "test": 6}
    assert summary.task.classes == ("NA", "None", "x")
    assert sum(summary.task.class_counts) == 42
    assert [(column.name, column.column, column.kind, column.dtype) for column in summary.raw] == [
        ("a_b", "a b", "numeric", "float32"),
        ("colour", "colour", "string", "string"),
        ("born", "born", "date", "float32"),
        ("fits", "fits", "boolean", "float32"),
    ]
    train = load_part(base / "ready", "train")
    assert train.x["dense"].shape == (42, summary.features.dense)
    assert train.x["dense"].dtype == np.float32
    assert np.isfinite(train.x["dense"]).all()
    assert train.rows == 42


PLAIN = """
import sys
from pathlib import Path
from pipelines.data.prepare import prepare
from pipelines.spec.data_spec import DataSpec
prepare(DataSpec(source="data.csv", target="label"), Path(), Path("ready"), "dense")
print(*sorted({"keras", "tensorflow", "jax", "sklearn", "matplotlib", "mlflow", "optuna"} & set(sys.modules)))
"""


def test_a_plain_preparation_loads_no_framework(base):
    """A table of numbers, dates and strings is prepared, and its folder read again, without anything that is slow."""
    done = subprocess.run([sys.executable, "-c", PLAIN], cwd=base, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
    assert load_summary(base / "ready").features.dense


@pytest.mark.parametrize("part", ["validation", "test"])
def test_saved_model_gives_the_arrays(base, part):
    """The saved preprocessing turns raw rows into exactly the prepared arrays."""
    prepare(spec(target="label"), base, base / "ready", "dense")
    raw = load_raw(base / "ready", part)
    assert raw["a_b"].dtype == np.float32
    assert np.isnan(raw["a_b"]).any() or part == "test"
    model = load_preprocessing(base / "ready")
    outputs = model(make_tensors(raw))
    # Sines and cosines of dates differ by rounding; see test_row_encoder.
    assert np.allclose(outputs["dense"].numpy(), load_part(base / "ready", part).x["dense"], rtol=0, atol=2e-7)


def test_half_a_character_is_refused(base):
    """JSON can hold a surrogate without its pair, which no other file can: an error at its key, and nothing is left."""
    rows = [{"s": "a\ud800b" if row == 7 else "x", "n": row, "label": "pq"[row % 2]} for row in range(40)]
    (base / "d.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"half of a character, at 'a\\ud800b'; correct it") as refused:
        prepare(spec("d.json", target="label"), base, base / "ready", "dense")
    assert refused.value.problems[0].path == "data.source"
    assert not list(base.glob("ready*"))


def test_regression_statistics(base):
    """A regression keeps labels in their unit, with the scale of the training rows."""
    np.savez(base / "d.npz", x=np.arange(40.0), y=np.linspace(1, 5, 40))
    summary = prepare(spec("d.npz", target="strength"), base, base / "ready", "dense")
    y = load_part(base / "ready", "train").y
    assert y.shape == (28, 1)
    assert summary.task.targets == ("strength",)
    assert summary.task.target_mean == pytest.approx((y.mean(),))
    assert summary.task.target_scale == pytest.approx((y.std(),))
    unscaled = prepare(spec("d.npz", scale_target=False), base, base / "other", "dense")
    assert (unscaled.task.target_mean, unscaled.task.target_scale) == ((0.0,), (1.0,))


def test_codes(base):
    """Embedded columns come as codes, named like their inputs, with as many codes as in the summary."""
    summary = prepare(
        spec(target="label", columns={"colour": {"encoding": "embedding"}}), base, base / "ready", "dense"
    )
    assert summary.features.codes == (("colour", 3),)
    codes = load_part(base / "ready", "train").x["codes"]
    assert codes.dtype == np.int32
    assert set(codes.ravel()) == {0, 1, 2}


def test_folds(base):
    """Every fold has features of the summary's shape, adapted to its training rows."""
    summary = prepare(spec(target="label", split={"folds": 3, "test": 0.2}), base, base / "ready", "dense")
    assert summary.folds == 3
    means = []
    for fold in range(3):
        train = load_part(base / "ready", "train", fold)
        assert train.x["dense"].shape == (32, summary.features.dense)
        means.append(train.x["dense"][:, 0].mean())
        assert len(load_raw(base / "ready", "validation", fold)["a_b"]) == 16
    assert np.allclose(means, 0, atol=1e-6)
    assert set(pd.read_csv(base / "ready" / "split.csv")["fold"]) == {-1, 0, 1, 2}


def test_without_test_rows(base):
    """A study without test rows has an empty test part."""
    prepare(spec(target="label", split={"test": 0.0}), base, base / "ready", "dense")
    assert load_part(base / "ready", "test").rows == 0
    assert len(load_raw(base / "ready", "test")["a_b"]) == 0


def test_split_is_written(base):
    """split.csv holds the part of each line of the file."""
    prepare(spec(target="label"), base, base / "ready", "dense")
    split = pd.read_csv(base / "ready" / "split.csv")
    assert split["row"].tolist() == [f"line {line}" for line in range(2, 62)]
    assert split["part"].value_counts().to_dict() == {"train": 42, "validation": 12, "test": 6}


def test_pictures(base):
    """Digits are pictures for one family and features for the other; raw rows are float32."""
    summary = prepare(spec("sklearn:digits"), base, base / "image", "image")
    assert summary.features.image == (8, 8, 1)
    assert summary.raw[0].name == "image"
    assert load_raw(base / "image", "test")["image"].dtype == np.float32
    flat = prepare(spec("sklearn:digits"), base, base / "dense", "dense")
    assert (flat.features.dense, flat.raw[0].name, flat.raw[0].shape) == (64, "features", (64,))


def test_pictures_as_pixels(base):
    """A pretrained network gets 0 to 255: bytes as they are, other values by their range, with a note."""
    chance = np.random.default_rng(1)
    pixels = chance.integers(3, 250, (40, 4, 4, 3)).astype("uint8")
    np.savez(base / "bytes.npz", x=pixels, y=np.arange(40) % 2)
    np.savez(base / "shares.npz", x=pixels / 255, y=np.arange(40) % 2)
    plain = prepare(spec("bytes.npz"), base, base / "bytes", "pixels")
    assert (plain.features.image, plain.encodings) == ((4, 4, 3), {"image": "pixels from 0 to 255"})
    assert np.array_equal(load_part(base / "bytes", "test").x["image"], load_raw(base / "bytes", "test")["image"])
    scaled = prepare(spec("shares.npz"), base, base / "shares", "pixels")
    found = load_part(base / "shares", "train").x["image"]
    assert (float(found.min()), float(found.max())) == pytest.approx((0.0, 255.0), abs=1e-3)
    assert not any("pixels" in note for note in plain.notes) and any("pixels" in note for note in scaled.notes)


def test_a_family_of_all_forms_gets_the_datas_own(base):
    """Digits are pictures for a family that takes pictures and tables alike; a table stays one."""
    assert prepare(spec("sklearn:digits"), base, base / "image", "mixed").features.image == (8, 8, 1)
    assert prepare(spec(target="label"), base, base / "table", "mixed").features.dense > 0


def test_arrays_with_missing_values(base):
    """Missing and endless numbers of an array are marked; the summary counts the marks."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[::3, 1], x[::4, 2] = np.nan, 1e300
    np.savez(base / "d.npz", x=x, y=np.arange(40) % 2)
    summary = prepare(spec("d.npz"), base, base / "ready", "dense")
    assert summary.features.dense == 5
    assert load_part(base / "ready", "train").x["dense"].shape == (28, 5)


def test_prepared_once(base, monkeypatch):
    """The same data and study file are prepared once; a changed file, or key, again."""
    made = []
    write = module._write_rows
    monkeypatch.setattr(module, "_write_rows", lambda *arguments: (made.append(1), write(*arguments)))
    first = prepare(spec(target="label"), base, base / "ready", "dense")
    assert prepare(spec(target="label"), base, base / "ready", "dense") == first
    assert len(made) == 1
    other_seed = prepare(spec(target="label", split={"seed": 5}), base, base / "ready", "dense")
    assert other_seed.digest != first.digest
    with (base / "data.csv").open("a") as file:
        file.write("1.0,red,2020-01-01,true,x\n")
    assert prepare(spec(target="label", split={"seed": 5}), base, base / "ready", "dense").rows["train"] == 43
    assert len(made) == 3


def test_loader_is_asked_again(base):
    """A loader's rows are identified by their values: other values are prepared again, the same ones are not."""
    code = "import numpy as np\n\ndef load():\n    return np.load('{}')['x'], np.arange(30) % 2\n"
    (base / "loader.py").write_text(code.format(base / "x.npz"))
    folder = base / "ready"
    digests = []
    for x in (np.zeros(30), np.zeros(30), np.ones(30)):
        np.savez(base / "x.npz", x=x)
        digests.append((prepare(spec("loader.py:load"), base, folder, "dense").digest, folder.stat().st_ino))
    assert digests[0] == digests[1]
    assert digests[1][0] != digests[2][0]


def test_interrupted(base, monkeypatch):
    """A preparation that ends half-way leaves no folder that looks finished, and the next one succeeds."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_split", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(spec(target="label"), base, base / "ready", "dense")
    assert not (base / "ready").exists()
    assert prepare(spec(target="label"), base, base / "ready", "dense").rows["train"] == 42
    assert not (base / "ready.partial").exists()


def test_folder_of_another_version(base):
    """A folder that another version wrote is prepared again instead of being misread."""
    prepare(spec(target="label"), base, base / "ready", "dense")
    path = base / "ready" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": -1}))
    assert (
        load_summary(base / "ready").rows["train"]
        == prepare(spec(target="label"), base, base / "ready", "dense").rows["train"]
    )
    assert json.loads(path.read_text())["format"] == module.FORMAT


def test_same_rows_for_the_same_seed(base):
    """The digest depends on values and split, not on where the data was prepared."""
    digests = {prepare(spec(target="label"), base, base / name, "dense").digest for name in ("one", "two")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("keys", "prefers", "path", "expected"),
    [
        ({"target": "label"}, "image", "data.source", "is a table"),
        ({"source": "sklearn:iris"}, "image", "data.source", "is a table"),
        ({"source": "flat.npz"}, "image", "data.source", "have shape (2,)"),
        ({"source": "flat.npz", "drop": ["a"]}, "dense", "data.drop", "has no columns"),
        ({"source": "flat.npz", "columns": {"a": {"type": "numeric"}}}, "dense", "data.columns", "has no columns"),
        ({"source": "deep.npz"}, "dense", "data.source", "at most 3 axes"),
        ({"source": "holes.npz"}, "image", "data.source", "not finite, at row 2"),
    ],
)
def test_features_that_do_not_fit(base, problem, keys, prefers, path, expected):
    """Features that the family cannot take are refused before anything is written."""
    y = np.arange(30) % 2
    holes = np.zeros((30, 4, 4))
    holes[1] = np.nan
    for name, x in {"flat": np.zeros((30, 2)), "deep": np.zeros((30, 1, 1, 1, 1)), "holes": holes}.items():
        np.savez(base / f"{name}.npz", x=x, y=y)
    found = problem(prepare, spec(**keys), base, base / "ready", prefers)
    assert found.path == path
    assert expected in found.message
    assert not list(base.glob("ready*"))


def test_nothing_written_for_bad_input(base):
    """Bad data leaves no folder behind."""
    with pytest.raises(InputError):
        prepare(spec(target="nothing"), base, base / "ready", "dense")
    assert not list(base.glob("ready*"))


def test_notes(base):
    """Choices made for the user are in the summary's notes, and every column is described."""
    table = pd.read_csv(base / "data.csv", keep_default_na=False)
    table["empty"], table["code"] = "", [f"id{index}" for index in range(60)]
    table.to_csv(base / "data.csv", index=False)
    summary = prepare(spec(target="label"), base, base / "ready", "dense")
    for expected in ('column "empty" is left out', 'column "code" differs'):
        assert any(expected in note for note in summary.notes)
    assert set(summary.encodings) == {"a b", "colour", "born", "fits", "code"}


def test_weights_follow_their_rows(base):
    """Each fold's parts have the weights of their rows, which are no feature and change no split."""
    table = pd.read_csv(base / "data.csv", keep_default_na=False)
    plain = prepare(spec(target="label", split={"folds": 2, "test": 0.2}), base, base / "plain", "dense")
    # The place of each row, so that its weight can be found again.
    table["w"] = np.arange(60) / 4
    table.to_csv(base / "data.csv", index=False)
    summary = prepare(spec(target="label", weight="w", split={"folds": 2, "test": 0.2}), base, base / "ready", "dense")
    assert "w" not in summary.encodings
    assert summary.task == dataclasses.replace(plain.task, is_weighted=True)
    assert any(note.startswith('rows are weighted by column "w" (0 to 14.75, mean 7.375)') for note in summary.notes)
    divided = pd.read_csv(base / "ready" / "split.csv")
    assert divided.equals(pd.read_csv(base / "plain" / "split.csv"))
    for fold in range(2):
        expected = {
            "train": (divided["fold"] != fold) & (divided["part"] != "test"),
            "validation": divided["fold"] == fold,
            "test": divided["part"] == "test",
        }
        for part, rows in expected.items():
            assert load_part(base / "ready", part, fold).sample_weight.tolist() == (np.flatnonzero(rows) / 4).tolist()


def test_a_user_model_gets_weights_as_they_are(base):
    """Weights of a loader keep their structure beside the examples."""
    (base / "l.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    x = np.arange(40.0)\n"
        "    return {'a': x}, {'p': x, 'q': x}, {'p': np.ones(40), 'q': x}\n"
    )
    summary = prepare(spec("l.py:load"), base, base / "ready", "any")
    assert summary.task.is_weighted
    assert any("weighted by the sample_weight of l.py:load (0 to 39" in note for note in summary.notes)
    train = load_examples_part(base / "ready", "train")
    assert train.sample_weight["q"].tolist() == train.x["a"].tolist()


def test_a_part_without_weight(base, problem):
    """A division where all rows of a part weigh 0 is refused before anything is written."""
    table = pd.read_csv(base / "data.csv", keep_default_na=False)
    table["w"] = np.where(np.arange(60) == 7, 1.0, 0.0)
    table["part"] = np.where(np.arange(60) < 40, "train", "validation")
    table.to_csv(base / "data.csv", index=False)
    found = problem(prepare, spec(target="label", weight="w", split={"column": "part"}), base, base / "ready", "dense")
    assert (found.path, found.message) == (
        "data.weight",
        'every validation row weighs 0 by column "w"; correct the weights, or split otherwise',
    )
    assert not list(base.glob("ready*"))


def test_summary_is_plain(base):
    """The summary is made of plain values, so that it crosses processes as JSON."""
    summary = prepare(spec(target="label"), base, base / "ready", "dense")
    assert json.loads(json.dumps(dataclasses.asdict(summary)))["folds"] == 1
