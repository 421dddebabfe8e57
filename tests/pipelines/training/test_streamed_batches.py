"""Batches of rows that stay on disk, held to those of rows in memory."""

import keras
import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.data.scratch import Scratch
from pipelines.training import streamed_batches
from pipelines.training.batches import Rows, Streaming, TrainingBatches, compute_row_weights, shuffle_rows
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.graph_trainer import can_train_in_graph
from pipelines.training.schedule import Schedule
from pipelines.training.streamed_batches import OrderedBatches, StreamedBatches, shuffle_stored_rows
from pipelines.training.trainer import choose_trainer


def rows_of(class_weight=None):
    """Return a few rows of two classes."""
    random = np.random.default_rng(3)
    x = random.normal(size=(48, 4)).astype("float32")
    y = (x[:, 0] > 0.3).astype("int32")
    return Rows(Examples({"dense": x}, y), Examples({"dense": x[:16]}, y[:16]), class_weight)


def model_of():
    """Return a compiled model with dropout."""
    keras.utils.set_random_seed(1)
    inputs = {"dense": keras.Input((4,), name="dense")}
    dropped = keras.layers.Dropout(0.3)(keras.layers.Dense(6, activation="tanh", name="hidden")(inputs["dense"]))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="output")(dropped))
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


class Listener:
    """Listener that lets every training go on."""

    def record_batch(self):
        """Do nothing."""

    def record_epoch(self, epoch, metrics):
        """Go on."""
        return "go_on"


def train(rows):
    """Train a model, and return what it reports and its weights."""
    model, schedule = model_of(), Schedule(4, 8, None, 0.0, seed=5)
    fitted = train_with_fit(model, rows, schedule, metric="val_loss", direction="minimize", listener=Listener())
    return fitted, model.get_weights()


def stream(rows, folder, shuffle="rows"):
    """Return rows that are read from disk."""
    return Rows(rows.train, rows.validation, rows.class_weight, Streaming(shuffle, folder))


@pytest.mark.parametrize("class_weight", [None, {0: 1.0, 1: 3.0}])
def test_batches_from_disk_are_those_of_memory(tmp_path, class_weight):
    """Same rows, same order, same weights, in every epoch."""
    rows = rows_of(class_weight)
    memory = TrainingBatches(rows.train, compute_row_weights(rows), 7, seed=3)
    disk = StreamedBatches(rows.train, rows.class_weight, 7, 3, "rows", tmp_path)
    for epoch in (0, 1, 5):
        memory.start_epoch(epoch)
        disk.start_epoch(epoch)
        assert len(memory) == len(disk)
        for index in range(len(memory)):
            ours, theirs = disk[index], memory[index]
            np.testing.assert_array_equal(ours[0]["dense"], theirs[0]["dense"])
            for one, other in zip(ours[1:], theirs[1:], strict=True):
                np.testing.assert_array_equal(one, other)


def test_training_from_disk_equals_that_in_memory(tmp_path):
    """The same seed gives the same weights and scores; rows on disk are trained by Model.fit."""
    rows = rows_of({0: 1.0, 1: 2.0})
    streamed = stream(rows, tmp_path)
    assert not can_train_in_graph(model_of(), streamed)
    assert choose_trainer(model_of(), streamed)[0] == "fit"
    (ours, our_weights), (theirs, their_weights) = train(streamed), train(rows)
    for one, other in zip(ours.history, theirs.history, strict=True):
        assert one == pytest.approx(other, rel=1e-6)
    for one, other in zip(our_weights, their_weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shuffle", ["rows", "blocks"])
def test_an_epoch_has_every_row_once_and_another_order(tmp_path, shuffle, monkeypatch):
    """In blocks too, whose last one is shorter."""
    monkeypatch.setattr(streamed_batches, "BLOCK_BYTES", 80)
    monkeypatch.setattr(streamed_batches, "WINDOW_BLOCKS", 4)
    orders = [shuffle_stored_rows(1, epoch, 1003, shuffle, 8, Scratch(tmp_path)) for epoch in (0, 1, 0)]
    assert sorted(orders[0]) == list(range(1003))
    assert (orders[0] == orders[2]).all()
    assert (orders[0] != orders[1]).any()


def test_rows_mixed_over_all_have_the_order_of_memory(tmp_path):
    """So scores do not depend on where the rows lie."""
    order = shuffle_stored_rows(4, 2, 500, "rows", 8, Scratch(tmp_path))
    np.testing.assert_array_equal(order, shuffle_rows(4, 2, 500))


def test_blocks_keep_neighbours_within_a_window(tmp_path, monkeypatch):
    """A window reads few places of the disk."""
    monkeypatch.setattr(streamed_batches, "BLOCK_BYTES", 80)
    monkeypatch.setattr(streamed_batches, "WINDOW_BLOCKS", 4)
    order = shuffle_stored_rows(1, 0, 1000, "blocks", 8, Scratch(tmp_path))
    assert len(set((order[:40] // 10).tolist())) == 4


def test_validation_rows_come_in_their_order(tmp_path):
    """Each once."""
    rows = rows_of()
    batches = OrderedBatches(rows.validation, 5)
    found = np.concatenate([batches[index][1] for index in range(len(batches))])
    np.testing.assert_array_equal(found, rows.validation.y)


def test_large_batches_do_not_wait_in_tens():
    """Keras reads ahead ten small batches, and of batches of pictures as many as take 64 MiB."""
    pictures = Examples({"image": np.zeros((4, 256, 256, 3), np.float32)}, np.zeros(4, np.int32))
    assert OrderedBatches(pictures, 32).max_queue_size == 2
    assert OrderedBatches(rows_of().train, 32).max_queue_size == 10
