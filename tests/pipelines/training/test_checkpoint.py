"""A training that was cut off resumes from its last whole epoch or its beginning, and never from anything else."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import Features, Task
from pipelines.models.build import build_hypermodel
from pipelines.models.context import ModelContext
from pipelines.spec.schema import TrainingSpec
from pipelines.training import checkpoint
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import Checkpoint, CheckpointStore, remove_checkpoints
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.graph_trainer import train_in_graph
from pipelines.training.schedule import Schedule
from search_spaces.hyperparameters import TrialHyperParameters

TASK = Task("binary", ("y",), classes=("no", "yes"), class_counts=(20, 20))


def checkpoint_of(epochs):
    monitor = {"history": [{"loss": float(epoch)} for epoch in range(epochs)], "best_epoch": 0}
    return Checkpoint(monitor, [np.full(3, 0.5)], [np.full(2, float(epochs)), np.int32(epochs)])


@pytest.fixture
def of_two(tmp_path):
    """The checkpoints of a training after its first and its second epoch."""
    checkpoints = CheckpointStore(tmp_path, 0, "it")
    checkpoints.write(checkpoint_of(1))
    checkpoints.write(checkpoint_of(2))
    return checkpoints


def test_the_latest_checkpoint_counts(of_two):
    """What is read is what was written last."""
    read = of_two.read()
    assert (read.monitor, len(read.history)) == (checkpoint_of(2).monitor, 2)
    np.testing.assert_array_equal(read.best_weights, checkpoint_of(2).best_weights)
    assert [array.tolist() for array in read.state] == [[2.0, 2.0], 2]


@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_checkpoint_is_skipped(share, flip, tmp_path_factory):
    """A byte that changed anywhere makes the checkpoint before it count."""
    folder = tmp_path_factory.mktemp("trial")
    for epochs in (1, 2):
        CheckpointStore(folder, 0, "it").write(checkpoint_of(epochs))
    file = folder / "fold-0.checkpoint"
    content = bytearray(file.read_bytes())
    content[int(share * len(content))] ^= flip
    file.write_bytes(content)
    assert len(CheckpointStore(folder, 0, "it").read().history) == 1


@pytest.mark.parametrize("left", [0, 1, 63, 64, 65, 500])
def test_a_checkpoint_that_was_cut_off_is_skipped(of_two, tmp_path, left):
    """A file that ends early makes the checkpoint before it count."""
    file = tmp_path / "fold-0.checkpoint"
    file.write_bytes(file.read_bytes()[:left])
    assert len(of_two.read().history) == 1


def test_a_checkpoint_of_something_else_is_skipped(of_two, tmp_path):
    """Another trainer, other values or another seed begin anew."""
    assert CheckpointStore(tmp_path, 0, "that").read() is None
    assert CheckpointStore(tmp_path, 1, "it").read() is None


def test_nothing_is_left_of_a_trial_that_is_over(of_two, tmp_path):
    """Checkpoints go when the trial's result is written; other files stay."""
    (tmp_path / "fold-0-epochs.jsonl").write_text("")
    remove_checkpoints(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["fold-0-epochs.jsonl"]


# Trainers ----------------------------------------------------------------------------------------------------


class CutOffError(Exception):
    """The worker is gone."""


class Until:
    """A listener that ends a training before an epoch is recorded, or pauses it after one."""

    def __init__(self, epoch=None, *, pauses_after=None):
        self.until = epoch
        self.pauses_after = pauses_after
        self.recorded = []

    def record_batch(self):
        """Ignore the batch."""

    def record_epoch(self, epoch, metrics):
        if epoch == self.until:
            raise CutOffError
        self.recorded.append(epoch)
        return "pause" if epoch == self.pauses_after else "go_on"


def trained(trainer, listener, checkpoints, *, epochs=6):
    keras.utils.set_random_seed(3)
    random = np.random.default_rng(5)
    parts = [
        Examples(
            {"dense": random.normal(size=(rows, 4)).astype("float32")}, random.integers(0, 2, rows).astype("int32")
        )
        for rows in (40, 20)
    ]
    values = {"units": 8, "dropout": 0.4, "batch_normalization": True, "schedule": "cosine", "optimizer": "adam"}
    context = ModelContext(Features(dense=4), TASK, TrainingSpec(), 40)
    model = build_hypermodel("mlp", context).build(TrialHyperParameters({"batch_size": 16, "epochs": epochs, **values}))
    schedule = Schedule(epochs, 16, 3, 0.0, seed=3)
    fitted = trainer(
        model,
        Rows(*parts, None),
        schedule,
        metric="val_loss",
        direction="minimize",
        listener=listener,
        checkpoints=checkpoints,
    )
    return fitted, model.get_weights()


@pytest.mark.long
@pytest.mark.parametrize("trainer", [train_with_fit, train_in_graph])
@pytest.mark.parametrize("how", ["cut off", "paused"])
def test_a_training_that_was_cut_off_or_paused_comes_to_the_same(trainer, how, tmp_path, monkeypatch):
    """The epochs after the cut, with their dropout, schedule and patience, are those of a training without one."""
    whole, weights = trained(trainer, Until(), None)
    if how == "paused":
        # Whether a checkpoint is due makes no difference to a pause.
        paused, _ = trained(trainer, Until(pauses_after=2), CheckpointStore(tmp_path, 0, "it"))
        assert (paused.paused, len(paused.history)) == (True, 3)
    else:
        monkeypatch.setattr(checkpoint, "_LEAST_S", 0.0)
        monkeypatch.setattr(checkpoint, "_SHARE", 0)
        with pytest.raises(CutOffError):
            trained(trainer, Until(3), CheckpointStore(tmp_path, 0, "it"))
    second = Until()
    resumed, resumed_weights = trained(trainer, second, CheckpointStore(tmp_path, 0, "it"))
    assert second.recorded[0] == 3, "no epoch is trained again"
    assert resumed == whole
    for ours, theirs in zip(resumed_weights, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("sharing", "ends"), [(1, [1.0, 103.0, 205.0]), (2, [1.0, 203.0])])
def test_checkpoints_cost_little(tmp_path, monkeypatch, sharing, ends):
    """What writing one has cost decides when the next is due; those of a fleet's trials share the time."""
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    checkpoints = CheckpointStore(tmp_path, 0, "it", sharing=sharing)

    def slow():
        now[0] += 2.0
        return checkpoint_of(1)

    written = []
    for _ in range(250):
        now[0] += 1.0
        checkpoints.offer(lambda: written.append(now[0]) or slow())
    assert written == ends
