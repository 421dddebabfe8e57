"""The process in which a test's models train on parts of the CPU: `device_process.py BACKEND DEVICES RESULTS`.

Each case trains on one device by `Model.fit` or one graph, and on all; the results are pickled by the case's name, as
plain values.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_SCRATCH = tempfile.TemporaryDirectory()  # removed when the process ends
ROWS, HELD_OUT = 101, 53  # no multiples of the batch: the last one is partial
FOR_JAX = ("clipped", "normalised", "weights of rows and classes", "streamed")  # its programs take longer to compile


@dataclass(frozen=True)
class Case:
    """A model's training: its layers after a dense one, its compilation, and its rows."""

    layers: Callable[[Any], Sequence[Any]] = lambda keras: []
    optimizer: Callable[[Any], Any] = lambda keras: keras.optimizers.Adam(0.01)
    classes: int = 0
    weighted: bool = False
    class_weight: Mapping[int, float] | None = None
    metrics: tuple[str, ...] = ()
    batch_size: int = 32
    bias: bool = True
    too_large: bool = False
    streamed: bool = False


@dataclass(frozen=True)
class Trained:
    """Result of a training: metrics of each epoch, the best epoch, the weights then, and what the listener saw."""

    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    weights: list[Any]
    synchronized: list[bool] = field(default_factory=list)


def make_cases() -> dict[str, Case]:
    """Return the cases, whose results on several devices are those on one."""
    return {
        "clipped": Case(
            optimizer=lambda keras: keras.optimizers.Adam(0.01, weight_decay=0.01, global_clipnorm=0.3, use_ema=True),
            weighted=True,
            metrics=("mean_absolute_error", "r2_score"),
        ),
        "clipped each": Case(optimizer=lambda keras: keras.optimizers.SGD(0.05, momentum=0.9, clipnorm=0.1)),
        "normalised": Case(
            lambda keras: [keras.layers.BatchNormalization()],
            optimizer=lambda keras: keras.optimizers.SGD(0.01, momentum=0.9),
            bias=False,
        ),
        "classes": Case(classes=3, class_weight={0: 1.0, 1: 3.0, 2: 0.5}, metrics=("accuracy",)),
        "weights of rows and classes": Case(classes=3, class_weight={0: 1.0, 1: 3.0, 2: 0.5}, weighted=True),
        "penalised": Case(lambda keras: [keras.layers.Dense(6, kernel_regularizer="l2", activity_regularizer="l1")]),
        "uneven": Case(batch_size=33),
        "smaller than the devices": Case(batch_size=1),
        "frozen": Case(lambda keras: [keras.layers.Dense(6, trainable=False)]),
        "too large": Case(too_large=True, weighted=True),
        "streamed": Case(streamed=True, weighted=True),
    }


def main(backend: str, devices: int, results: Path) -> None:
    """Train every case and write the results."""
    from pipelines.training.parallel import device_group

    group = device_group.open_group(devices)
    found: dict[str, Any] = {}
    for name, case in make_cases().items():
        if backend == "tensorflow" or name in FOR_JAX:
            found[name] = train(case, None), train(case, group)
    dropout = Case(lambda keras: [keras.layers.Dropout(0.5)])
    found["dropout"] = train(dropout, None), train(dropout, group)
    found["resumed"] = found["dropout"][1], train(dropout, group, cut_after=2, folder=results.parent)
    if backend == "tensorflow":
        found["masks"] = draw_masks(group)
        found["obstacles"] = list_obstacles(group)
    plain = {name: [asdict(each) for each in pair] if isinstance(pair, tuple) else pair for name, pair in found.items()}
    results.write_bytes(pickle.dumps(plain))


class Listener:
    """Listener that pauses a training after some epochs."""

    def __init__(self, pause_after: int | None = None) -> None:
        self._pause_after = pause_after

    def record_batch(self) -> None:
        pass

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> str:
        return "pause" if self._pause_after == epoch + 1 else "go_on"


def train(case: Case, group: Any, cut_after: int | None = None, folder: Path | None = None) -> Trained:
    """Train a case on a group, or on one device; cut it after some epochs and let it go on where requested."""
    from pipelines.training.checkpoint import CheckpointStore
    from pipelines.training.parallel.device_group import build_for
    from pipelines.training.schedule import Schedule
    from pipelines.training.trainer import choose_trainer

    schedule = Schedule(3, case.batch_size, None, 0.0, 5)
    checkpoints = None if folder is None else CheckpointStore(folder, 0, ("case",))
    lives = [Listener()] if cut_after is None else [Listener(cut_after), Listener()]
    for listener in lives:
        with build_for(group):
            model = build(case)
        rows = make_rows(case)
        if case.too_large and group is not None:
            read_from_disk()
        _, trainer = choose_trainer(model, rows, group)
        fitted = trainer(
            model,
            rows,
            schedule,
            metric="val_loss",
            direction="minimize",
            listener=listener,
            checkpoints=checkpoints,
        )
    normalising = [layer.synchronized for layer in model.layers if hasattr(layer, "synchronized")]
    return Trained(fitted.history, fitted.best_epoch, model.get_weights(), normalising)


def read_from_disk() -> None:
    """Let the rows of the following trainings be too many for memory."""
    from pipelines.training.parallel import mirrored_group

    mirrored_group.fit_in_memory = lambda rows: False


def build(case: Case) -> Any:
    import keras

    keras.utils.set_random_seed(7)
    x = given = keras.Input((8,), name="x")
    x = keras.layers.Dense(16, activation="relu" if case.bias else None, use_bias=case.bias)(x)
    for layer in case.layers(keras):
        x = layer(x)
    if case.classes:
        model = keras.Model({"x": given}, keras.layers.Dense(case.classes, activation="softmax")(x))
        loss = "sparse_categorical_crossentropy"
    else:
        model, loss = keras.Model({"x": given}, keras.layers.Dense(1)(x)), "mean_squared_error"
    model.compile(case.optimizer(keras), loss, metrics=list(case.metrics))
    return model


def make_rows(case: Case) -> Any:
    from pipelines.data.examples.examples import Examples
    from pipelines.training.batches import Rows, Streaming

    random = np.random.default_rng(0)

    def part(rows: int) -> Examples:
        x = random.normal(size=(rows, 8)).astype(np.float32)
        total = x.sum(axis=1, keepdims=True)
        y = np.digitize(total[:, 0], [-2, 2]).astype(np.int32) if case.classes else total
        return Examples({"x": x}, y, random.uniform(0, 2, rows).astype(np.float32) if case.weighted else None)

    streaming = Streaming("rows", Path(_SCRATCH.name)) if case.streamed else None
    return Rows(part(ROWS), part(HELD_OUT), case.class_weight, streaming)


def draw_masks(group: Any) -> list[bool]:
    """Return whether two devices draw the same masks of dropout: as Keras has it, and in a training."""
    import keras
    import tensorflow as tf

    from pipelines.training.parallel.mirrored import MirroredSteps

    with group.scope():
        layer = keras.layers.Dropout(0.5, seed=3)
        model = keras.Sequential([keras.Input((64,)), layer])
    steps = MirroredSteps(model, group._strategy)

    def are_same() -> bool:
        draw = tf.autograph.experimental.do_not_convert(lambda: layer(tf.ones((1, 64)), training=True))
        drawn = group._strategy.run(tf.function(draw))
        first, second, *_ = (np.asarray(each) for each in drawn.values)
        return bool(np.array_equal(first, second))

    before = are_same()
    steps.separate_seeds()
    return [before, are_same()]


def list_obstacles(group: Any) -> dict[str, str]:
    """Return why some models do not train on several devices."""
    import keras

    class OwnStep(keras.Model):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    def compiled(**settings: Any) -> Any:
        given = keras.Input((8,))
        model = settings.pop("kind", keras.Model)(given, keras.layers.Dense(1)(given))
        model.compile("adam", settings.pop("loss", "mse"), **settings)
        return model

    rows = make_rows(Case())
    models = {
        "fine": compiled(),
        "own function": compiled(loss=lambda y, p: (y - p) ** 2),
        "own step": compiled(kind=OwnStep),
        "sum": compiled(loss=keras.losses.MeanSquaredError(reduction="sum")),
        "mean by weights": compiled(loss=keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")),
        "dice": compiled(loss="dice"),
        "dice object": compiled(loss=keras.losses.Dice()),
        "eager": compiled(run_eagerly=True),
    }
    return {name: group.find_obstacle(model, rows) for name, model in models.items()}


def _prepare(backend: str, devices: int) -> None:
    """Set up the backend as a worker of the local engine does."""
    from pipelines.engines import local_worker

    if backend == "jax":
        os.environ["KERAS_BACKEND"] = "jax"
        local_worker._set_up_jax(1, None, devices)
    else:
        import pipelines.engines.preload.tensorflow  # noqa: F401

        local_worker._set_up_tensorflow(1, 0, devices)


if __name__ == "__main__":
    _prepare(sys.argv[1], int(sys.argv[2]))
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
