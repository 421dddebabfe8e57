"""Reception of studies from Python: what is written, what a second run finds, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipelines.data.reading.source_paths import check_source_paths
from pipelines.operations.receive import read_keys, receive_study
from pipelines.spec.code_references import load_function
from pipelines.study.load import load_study
from pipelines.study.stored import load_stored_study, serialize_study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.store.study_queue import StudyQueue

X, Y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 1, 0])
TABLE = pd.DataFrame({"a": [1, 2], "t": ["x", "y"]})


def build(hp):
    """Stand for a user's `build`."""
    return hp


def define_build(text: str):
    names: dict = {"__name__": "__main__"}
    exec(text, names)
    return names["build"]


@pytest.fixture
def home(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path / "home", str(tmp_path / "home"))


@pytest.fixture
def receive(home):
    """Receive a study from its file and keys, as `kerastudy.run` does up to its check."""

    def receive(written=None, *, evolve=False, **keys):
        document, folder, objects = read_keys(written, keys)
        with receive_study(document, objects, folder, home, evolve=evolve) as study:
            return study

    return receive


@pytest.fixture
def begin(receive, store):
    """Receive a study and put it into the queue, as its check does."""

    def begin(written=None, **keys):
        study = receive(written, **keys)
        fingerprint = study.compute_fingerprint().with_data("rows")
        StudyQueue(store).enqueue(study.name, serialize_study(study), fingerprint.format(), folder=study.base)
        return study

    return begin


def failure(receive, written=None, **keys) -> str:
    with pytest.raises(InputError) as caught:
        receive(written, **keys)
    return str(caught.value)


def snapshot(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir() if file.name != "study.yaml"}


def test_objects_become_files(receive, home):
    """Model and data are in the study's folder, and a study file beside them names them."""
    study = receive(study="it", model=build, data=(X, Y), budget={"trials": 2}, space={"units": [1, 2]})
    assert study.base == home.locate_objects("it")
    assert study.spec.model == "model.py:build"
    assert load_function(study.spec.model, study.base, "model")(3) == 3
    assert load_function(study.spec.data.source, study.base, "data").__module__.startswith("kerastudy_user")
    again = load_study(study.base / "study.yaml")
    assert again.compute_fingerprint() == study.compute_fingerprint()
    assert (again.spec.budget, again.base) == (study.spec.budget, study.base)
    assert [file.name for file in home.locate_study("it").iterdir()] == ["objects"]


def test_the_same_again_writes_nothing(begin, receive, store):
    """A second run goes on with the files of the first, whatever its settings are; the queue finds them."""
    study = begin(model=build, data=(X, Y))
    before = snapshot(study.base)
    again = receive(model=build, data=(X.copy(), Y), budget={"trials": 9})
    assert snapshot(study.base) == before
    assert again.spec.budget.trials == 9
    assert load_stored_study(StudyQueue(store).get("build")).base == study.base
    assert load_study(study.base / "study.yaml").spec.budget.trials == 9


def test_a_changed_object_is_refused(begin, receive):
    """Other code and other rows are another study; the files of the first stay."""
    study = begin(study="it", model=define_build("def build(hp): return 1"), data=(X, Y))
    before = snapshot(study.base)
    changed = failure(receive, study="it", model=define_build("def build(hp): return 2"), data=(X, Y))
    assert changed.startswith('study: study "it" exists already and the code in model.py has changed since')
    assert changed.endswith("(changed: build)")
    same = define_build("# as before\ndef build(hp): return 1")
    assert "data: the data has changed since the study began" in failure(
        receive, study="it", model=same, data=(X + 1, Y)
    )
    assert "exists already with another model" in failure(receive, study="it", model="mlp", data=(X, Y))
    assert snapshot(study.base) == before
    receive(study="it", model=same, data=(X, Y))


def test_a_changed_space_may_evolve(begin, receive):
    """The files stay, and the study file beside them has the new space."""
    study = begin(study="it", model=build, data=(X, Y), space={"units": [1, 2]})
    assert "in the new space with --evolve" in failure(
        receive, study="it", model=build, data=(X, Y), space={"units": 3}
    )
    receive(study="it", model=build, data=(X, Y), space={"units": 3}, evolve=True)
    assert load_study(study.base / "study.yaml").space.to_dict() == {"units": {"type": "fixed", "value": 3}}


def test_a_study_that_never_began_is_replaced(receive):
    """Files without a study are of a run that was killed or whose check failed."""
    receive(study="it", model=build, data=(X, Y))
    study = receive(study="it", model="mlp", data={"source": TABLE, "target": "t"})
    assert not (study.base / "model.py").exists()
    pd.testing.assert_frame_equal(load_function("data.py:load", study.base, "data")(), TABLE)


def test_an_error_inside_leaves_nothing(home):
    """The check of a new study follows while its files are new: where it fails, they go."""
    document, folder, objects = read_keys(None, {"model": build, "data": (X, Y)})
    with pytest.raises(InputError, match="no"), receive_study(document, objects, folder, home) as study:
        assert study.base.exists()
        raise InputError("no")
    assert not (home.folder / "studies").exists()


def test_rows_drawn_at_random_are_those_of_the_beginning(begin, receive):
    """A dataset that shuffles gives another order each time; a fixed one with other rows is refused."""

    def make(seed):
        return tf.data.Dataset.from_tensor_slices((np.arange(64), np.arange(64))).shuffle(64, seed=seed).batch(8)

    begin(study="it", model=build, data=make(1))
    receive(study="it", model=build, data=make(2))
    fixed = tf.data.Dataset.from_tensor_slices((np.arange(64), np.arange(64))).batch(8)
    assert "the data has changed" in failure(receive, study="it", model=build, data=fixed)


def test_a_function_makes_the_data(begin, receive):
    """It is sent as code: its rows are read where the data is prepared; a changed one is refused."""
    names: dict = {"__name__": "__main__"}
    exec("def load(): return [1.0, 2.0], [0, 1]", names)
    study = begin(study="it", model=build, data=names["load"])
    assert study.spec.data.source == "data.py:load"
    assert load_function("data.py:load", study.base, "data")() == ([1.0, 2.0], [0, 1])
    exec("def load(): return [1.0, 3.0], [0, 1]", names)
    assert "the function that makes the data has changed" in failure(
        receive, study="it", model=build, data=names["load"]
    )


def test_names_stay_names(receive, tmp_path):
    """Beside an object, files are named from the folder of the study file or the current one."""
    (tmp_path / "d.csv").write_text("a,t\n1,0\n")
    (tmp_path / "own.py").write_text("def make(hp): return hp\ndef load(): return 1\n")
    study = receive(model=build, data={"source": "d.csv", "target": "t"})
    assert study.spec.data.source == str(tmp_path / "d.csv")
    check_source_paths(study.spec.data, study.base)
    study = receive(model=build, data={"source": ["d.csv", "*.csv"], "target": "t"}, study="several")
    assert study.spec.data.source == [str(tmp_path / "d.csv"), str(tmp_path / "*.csv")]
    study = receive(model="own.py:make", data=(X, Y))
    assert (study.name, study.spec.model) == ("make", f"{tmp_path / 'own.py'}:make")
    study = receive(model=build, data="own.py:load", study="it")
    assert study.spec.data.source == f"{tmp_path / 'own.py'}:load"
    assert receive(model="own.py:make", data="sklearn:iris").base == tmp_path


def test_a_study_file_is_completed(receive, tmp_path):
    """Keys take the place of a file's; it may be a path, text or a mapping with objects."""
    text = "study: it\ndata: {source: 'sklearn:iris'}\nmodel: mlp\nbudget: {trials: 7}\n"
    (tmp_path / "s.yaml").write_text(text)
    for written in (tmp_path / "s.yaml", "s.yaml", text, indent(text, "    ")):
        study = receive(written, model=build)
        assert (study.name, study.spec.model, study.spec.budget.trials) == ("it", "model.py:build", 7)
    study = receive({"study": "it", "data": {"source": (X, Y)}, "model": build}, data={"source": "sklearn:wine"})
    assert study.spec.data.source == "sklearn:wine"
    assert failure(receive, tmp_path / "s.yaml", budget={"trails": 1}).startswith("kerastudy.run(budget=...)")


def test_separate_parts(receive):
    """Sources that are objects are parts, as in a dict of them."""
    study = receive(model=build, data={"source": (X, Y), "test_source": (X[:1], Y[:1]), "split": {"validation": 0.5}})
    parts = json.loads((study.base / "data.json").read_text())["parts"]
    assert set(parts) == {"train", "test"}
    assert study.spec.data.split.validation == 0.5


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"model": keras.Sequential()}, "model: got a finished model (Sequential); pass a function build(hp)"),
        ({"model": 3}, 'model: expected a function of hp, a HyperModel, the name of a family or "file.py:function"'),
        ({"modle": "mlp"}, 'modle: unknown key "modle"; did you mean "model"'),
        ({"model": "mpl"}, 'no model family is called "mpl"; did you mean "mlp"'),
        ({"study": "../it"}, "study: expected a name"),
        ({"model": "gone.py:build"}, "model: there is no file gone.py"),
        ({"data": None}, "data.source:"),
        (
            {"data": {"source": (X, Y), "test_source": "t.csv"}},
            "data.test_source: expected all sources as objects or all",
        ),
        ({"data": {"source": build, "test_source": build}}, "data: pass one function that returns a dict of parts"),
    ],
)
def test_what_is_refused(receive, home, keys, said):
    """Each message names the key, and nothing is written."""
    assert said in failure(receive, **{"model": build, "data": (X, Y), **keys})
    assert not (home.folder / "studies").exists()


def test_code_of_another_python_is_not_called_changed(begin, receive):
    """Bytecode of another version cannot be compared: the message names the version to go on with."""
    study = begin(study="it", model=build, data=(X, Y))
    file = study.base / "model.py"
    file.write_text(file.read_text().replace('python="', 'python="2.'))
    assert "came from Python 2.3" in failure(receive, study="it", model=build, data=(X, Y))
