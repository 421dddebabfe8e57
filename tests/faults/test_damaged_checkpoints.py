"""Damaged checkpoints: never loaded wrong, never in the way; the training ends with the same result."""

from __future__ import annotations

import random
import shutil

import keras
import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import Features, Task
from pipelines.models.build import build_hypermodel
from pipelines.models.context import ModelContext
from pipelines.spec.schema import TrainingSpec
from pipelines.training import checkpoint
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.graph_trainer import train_in_graph
from pipelines.training.schedule import Schedule
from search_spaces.hyperparameters import TrialHyperParameters

OFFSETS = 200
TASK = Task("binary", ("y",), classes=("no", "yes"), class_counts=(20, 20))
LATEST, BEFORE = "fold-0.checkpoint", "fold-0.checkpoint-before"


class CutOffError(Exception):
    """The worker is gone."""


class Until:
    """Listener that lets a training run until an epoch is about to be reported."""

    def __init__(self, epoch=None):
        self.until = epoch
        self.epochs = []

    def record_batch(self):
        """Do nothing: batches are not counted."""

    def record_epoch(self, epoch, metrics):
        if epoch == self.until:
            raise CutOffError
        self.epochs.append(epoch)
        return "go_on"


def train_all(listener, checkpoints):
    keras.utils.set_random_seed(3)
    generator = np.random.default_rng(5)
    parts = [
        Examples(
            {"dense": generator.normal(size=(rows, 4)).astype("float32")},
            generator.integers(0, 2, rows).astype("int32"),
        )
        for rows in (40, 20)
    ]
    values = {"units": 6, "dropout": 0.4, "schedule": "cosine", "optimizer": "adam", "depth": 1}
    context = ModelContext(Features(dense=4), TASK, TrainingSpec(), 40)
    model = build_hypermodel("mlp", context).build(TrialHyperParameters({"batch_size": 16, "epochs": 5, **values}))
    schedule = Schedule(5, 16, 3, 0.0, seed=3)
    goal = {"metric": "val_loss", "direction": "minimize"}
    fitted = train_in_graph(model, Rows(*parts, None), schedule, **goal, listener=listener, checkpoints=checkpoints)
    return fitted, model.get_weights()


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A folder with the checkpoints after epochs 2 and 3 of a training, and the result of the whole training."""
    folder = tmp_path_factory.mktemp("trial")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkpoint, "_LEAST_S", 0.0)
        patched.setattr(checkpoint, "_SHARE", 0)
        with pytest.raises(CutOffError):
            train_all(Until(3), CheckpointStore(folder, 0, "it"))
        whole = train_all(Until(), None)
    return folder, whole


def damages():
    """Yield how each of 200 damages changes a file, half of them bits, half of them ends, in which of the two files."""
    chance = random.Random(8)
    for index in range(OFFSETS):
        share, bit, in_both = chance.random(), 1 << chance.randrange(8), index % 5 == 0

        def flip(content, share=share, bit=bit):
            changed = bytearray(content)
            changed[int(share * len(content))] ^= bit
            return bytes(changed)

        def cut(content, share=share):
            return content[: int(share * len(content))]

        files = (LATEST, BEFORE) if in_both else ((LATEST,), (BEFORE,))[index // 2 % 2]
        yield (flip if index % 2 else cut), files


def copy_damaged(folder, into, change, files):
    shutil.copytree(folder, into)
    for name in files:
        (into / name).write_bytes(change((into / name).read_bytes()))
    return into


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_what_is_read_is_whole_or_nothing(cut_off, tmp_path):
    """Wherever a checkpoint is damaged, the one before it is read, bit for bit, or none where both are."""
    folder, _ = cut_off
    latest = CheckpointStore(folder, 0, "it").read()
    only_before = copy_damaged(folder, tmp_path / "before", lambda content: b"", (LATEST,))
    before = CheckpointStore(only_before, 0, "it").read()
    assert (len(latest.history), len(before.history)) == (3, 2)
    for index, (change, files) in enumerate(damages()):
        read = CheckpointStore(copy_damaged(folder, tmp_path / str(index), change, files), 0, "it").read()
        expected = None if len(files) == 2 else before if files == (LATEST,) else latest
        if expected is None:
            assert read is None
            continue
        assert read.monitor == expected.monitor
        assert equal(read.best_weights, expected.best_weights)
        assert equal(read.state, expected.state)


@pytest.mark.parametrize("index", [0, 1, 2, *(pytest.param(i, marks=pytest.mark.slow) for i in range(3, OFFSETS))])
def test_the_training_comes_to_the_same(index, cut_off, tmp_path):
    """A training that continues after the damage ends with the scores and weights of an undisturbed one."""
    folder, (whole, weights) = cut_off
    change, files = list(damages())[index]
    listener = Until()
    fitted, ours = train_all(listener, CheckpointStore(copy_damaged(folder, tmp_path / "it", change, files), 0, "it"))
    assert fitted == whole
    assert equal(ours, weights)
    assert listener.epochs[0] == (0 if len(files) == 2 else 2 if files == (LATEST,) else 3)
