"""Table of the forms of data and models that go through a study, from memory to an exported file.

Each form is run as a study of two trials, whose model is then exported in each format. A row shows the trainer, the
score, and per format the largest difference from the Keras model, or why there is no file.

    .venv/bin/python benchmarks/forms.py [NAME ...]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kerastudy
from pipelines.export.parity import Parity

FORMATS = ("keras", "saved_model", "litert", "onnx")
ROWS = 160
_FORMS: dict[str, tuple[str, str, Callable[[], Any], Callable[[Any], Any]]] = {}


def _form(name: str, inputs: str, targets: str, data: Callable[[], Any]) -> Callable[[Any], Any]:
    """Register a model function under a name, with its data."""

    def register(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _FORMS[name] = (inputs, targets, data, build)
        return build

    return register


def _draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(ROWS, *shape)).astype("float32")


def _labels(classes: int = 2) -> Any:
    return np.arange(ROWS) % classes


def _finish(model: Any, hp: Any, loss: Any = "binary_crossentropy", **keywords: Any) -> Any:
    import keras

    model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")), loss, **keywords)
    return model


def _head(x: Any, units: int = 1, activation: str = "sigmoid", **keywords: Any) -> Any:
    import keras

    return keras.layers.Dense(units, activation=activation, **keywords)(x)


@_form("float rows", "float32 [row, 6]", "0 or 1", lambda: (_draw(6), _labels()))
def _build_rows(hp: Any) -> Any:
    import keras

    return _finish(keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")]), hp)


@_form(
    "half floats",
    "float16 [row, 6]",
    "float64 [row]",
    lambda: (_draw(6).astype("float16"), _draw()[:].astype("float64")),
)
def _build_half(hp: Any) -> Any:
    import keras

    return _finish(keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]), hp, "mse", metrics=["mae"])


@_form("tokens", "int32 [row, 12]", "0 or 1", lambda: (np.abs(_draw(12) * 40).astype("int32"), _labels()))
def _build_tokens(hp: Any) -> Any:
    import keras

    layers = [keras.layers.Embedding(400, 4), keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(1, "sigmoid")]
    return _finish(keras.Sequential(layers), hp)


@_form(
    "pixels", "uint8 [row, 8, 8, 3]", "class 0 to 9", lambda: ((_draw(8, 8, 3) * 40 + 128).astype("uint8"), _labels(10))
)
def _build_pixels(hp: Any) -> Any:
    import keras

    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3),
        keras.layers.Flatten(),
    ]
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    return _finish(model, hp, "sparse_categorical_crossentropy", metrics=["accuracy"])


@_form("sequences", "float32 [row, 12, 3]", "float32 [row, 4]", lambda: (_draw(12, 3), _draw(4)))
def _build_sequences(hp: Any) -> Any:
    import keras

    return _finish(keras.Sequential([keras.Input((12, 3)), keras.layers.GRU(4), keras.layers.Dense(4)]), hp, "mse")


@_form("video", "float32 [row, 4, 6, 6, 1]", "one-hot [row, 3]", lambda: (_draw(4, 6, 6, 1), np.eye(3)[_labels(3)]))
def _build_video(hp: Any) -> Any:
    import keras

    layers = [keras.Input((4, 6, 6, 1)), keras.layers.Conv3D(2, 2), keras.layers.Flatten()]
    return _finish(keras.Sequential([*layers, keras.layers.Dense(3, "softmax")]), hp, "categorical_crossentropy")


@_form(
    "two inputs, dict", "dict of two arrays", "0 or 1", lambda: ({"age": _draw(1), "photo": _draw(6, 6, 1)}, _labels())
)
def _build_dict(hp: Any) -> Any:
    import keras

    age, photo = keras.Input((1,), name="age"), keras.Input((6, 6, 1), name="photo")
    joined = keras.layers.Concatenate()([age, keras.layers.Flatten()(photo)])
    return _finish(keras.Model({"age": age, "photo": photo}, _head(joined)), hp)


@_form("two inputs, list", "list of two arrays", "0 or 1", lambda: ([_draw(2), _draw(3)], _labels()))
def _build_list(hp: Any) -> Any:
    import keras

    inputs = [keras.Input((2,)), keras.Input((3,))]
    return _finish(keras.Model(inputs, _head(keras.layers.Concatenate()(inputs))), hp)


@_form(
    "columns",
    "dict of columns [row]",
    "0 or 1",
    lambda: ({"age": _draw(), "class": _labels(3).astype("int64")}, _labels()),
)
def _build_columns(hp: Any) -> Any:
    import keras

    inputs = {"age": keras.Input((1,), name="age"), "class": keras.Input((1,), dtype="int64", name="class")}
    one_hot = keras.layers.CategoryEncoding(3, output_mode="one_hot")(inputs["class"])
    return _finish(keras.Model(inputs, _head(keras.layers.Concatenate()([inputs["age"], one_hot]))), hp)


@_form("text", "string [row]", "0 or 1", lambda: (np.array(["good film", "bad one"] * (ROWS // 2)), 1 - _labels()))
def _build_text(hp: Any) -> Any:
    import keras

    words = keras.layers.TextVectorization(vocabulary=["good", "bad", "film", "one"], output_sequence_length=3)
    layers = [keras.Input((), dtype="string"), words, keras.layers.Embedding(8, 4), keras.layers.Flatten()]
    return _finish(keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")]), hp)


def _make_ragged_rows() -> Any:
    import tensorflow as tf

    return tf.ragged.constant([[1] * (1 + row % 4) for row in range(ROWS)]), _labels()


@_form("ragged tokens", "ragged int32 [row, any]", "0 or 1", _make_ragged_rows)
def _build_ragged(hp: Any) -> Any:
    import keras

    class Dense(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
        def call(self, x: Any) -> Any:
            return x.to_tensor() if hasattr(x, "to_tensor") else x

    layers = [
        Dense(),
        keras.layers.Embedding(8, 4),
        keras.layers.GlobalMaxPooling1D(),
        keras.layers.Dense(1, "sigmoid"),
    ]
    return _finish(keras.Sequential(layers), hp)


def _make_sparse_rows() -> Any:
    from scipy import sparse

    return sparse.random(ROWS, 20, density=0.2, format="csr", dtype="float32", random_state=0), _labels()


@_form("sparse rows", "SciPy matrix [row, 20]", "0 or 1", _make_sparse_rows)
def _build_sparse(hp: Any) -> Any:
    import keras

    return _finish(keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1, "sigmoid")]), hp)


def _make_batches() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((_draw(6), _labels())).shuffle(ROWS).batch(20)


@_form("dataset", "tf.data batches of 20", "0 or 1", _make_batches)
def _build_dataset(hp: Any) -> Any:
    return _build_rows(hp)


@_form("weights", "float32 [row, 6]", "0 or 1, weighted", lambda: (_draw(6), _labels(), 1.0 + _labels()))
def _build_weights(hp: Any) -> Any:
    import keras

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, "sigmoid")])
    return _finish(model, hp, weighted_metrics=["accuracy"])


@_form("multi-label", "float32 [row, 6]", "0 or 1 [row, 3]", lambda: (_draw(6), (_draw(3, seed=1) > 0).astype("int8")))
def _build_multi_label(hp: Any) -> Any:
    import keras

    return _finish(keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "sigmoid")]), hp, metrics=["AUC"])


@_form("two heads, dict", "float32 [row, 6]", "dict of two", lambda: (_draw(6), {"price": _draw(1), "sold": _labels()}))
def _build_heads(hp: Any) -> Any:
    import keras

    x = keras.Input((6,))
    model = keras.Model(x, {"price": _head(x, 1, "linear", name="price"), "sold": _head(x, name="sold")})
    return _finish(model, hp, {"price": "mse", "sold": "binary_crossentropy"}, loss_weights={"price": 0.5, "sold": 1.0})


@_form("two heads, list", "float32 [row, 6]", "list of two", lambda: (_draw(6), [_draw(1), _labels()]))
def _build_list_heads(hp: Any) -> Any:
    import keras

    x = keras.Input((6,))
    return _finish(keras.Model(x, [_head(x, 1, "linear"), _head(x)]), hp, ["mse", "binary_crossentropy"])


@_form("masks", "float32 [row, 8, 8, 3]", "0 or 1 [row, 8, 8, 1]", lambda: (_draw(8, 8, 3), (_draw(8, 8, 1) > 0) * 1.0))
def _build_masks(hp: Any) -> Any:
    import keras

    return _finish(
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")]), hp
    )


@_form("sequence to sequence", "int32 [row, 9]", "int32 [row, 9]", lambda: (np.abs(_draw(9) * 5).astype("int32"),) * 2)
def _build_tagger(hp: Any) -> Any:
    import keras

    layers = [
        keras.Input((9,), dtype="int32"),
        keras.layers.Embedding(40, 4),
        keras.layers.LSTM(4, return_sequences=True),
    ]
    model = keras.Sequential([*layers, keras.layers.Dense(40, "softmax")])
    return _finish(model, hp, "sparse_categorical_crossentropy")


@_form("autoencoder", "float32 [row, 6]", "y = x", lambda: (_draw(6), _draw(6)))
def _build_autoencoder(hp: Any) -> Any:
    import keras

    return _finish(
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, "relu"), keras.layers.Dense(6)]), hp, "mse"
    )


@_form("no targets, own train_step", "float32 [row, 6]", "none", lambda: _draw(6))
def _build_own_step(hp: Any) -> Any:
    import keras

    class Autoencoder(keras.Model):  # type: ignore[misc]  # keras has no types
        def __init__(self, units: int) -> None:
            super().__init__()
            self.units = units
            self.inner, self.outer = keras.layers.Dense(units), keras.layers.Dense(6)
            self.error = keras.metrics.Mean(name="loss")

        def call(self, x: Any) -> Any:
            return self.outer(self.inner(x))

        def get_config(self) -> dict[str, int]:
            return {"units": self.units}

        @property
        def metrics(self) -> list[Any]:
            return [self.error]

        def _update(self, data: Any) -> Any:
            import tensorflow as tf

            x = data[0] if isinstance(data, tuple) else data
            loss = tf.reduce_mean((self(x) - x) ** 2)
            self.error.update_state(loss)
            return loss

        def train_step(self, data: Any) -> Any:
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = self._update(data)
            self.optimizer.apply_gradients(
                zip(tape.gradient(loss, self.trainable_variables), self.trainable_variables, strict=True)
            )
            return {"loss": self.error.result()}

        def test_step(self, data: Any) -> Any:
            self._update(data)
            return {"loss": self.error.result()}

    model = Autoencoder(hp.Int("units", 2, 4))
    model.compile(keras.optimizers.Adam(0.01))
    return model


@_form("subclassed", "float32 [row, 6]", "0 or 1", lambda: (_draw(6), _labels()))
def _build_subclassed(hp: Any) -> Any:
    import keras

    class Net(keras.Model):  # type: ignore[misc]  # keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")

        def call(self, x: Any) -> Any:
            return self.outer(self.inner(x))

    return _finish(Net(), hp)


@_form("mixed precision", "float32 [row, 6]", "0 or 1", lambda: (_draw(6), _labels()))
def _build_mixed(hp: Any) -> Any:
    import keras

    layers = [keras.Input((6,)), keras.layers.Dense(4, dtype="mixed_float16"), keras.layers.Dense(1, "sigmoid")]
    return _finish(keras.Sequential(layers), hp)


@_form("lambda layer", "float32 [row, 6]", "0 or 1", lambda: (_draw(6), _labels()))
def _build_lambda(hp: Any) -> Any:
    import keras

    layers = [keras.Input((6,)), keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(1, "sigmoid")]
    return _finish(keras.Sequential(layers), hp)


def _run_form(name: str, home: Path) -> list[str]:
    """Run the study of a form and export it; return the row of the table."""
    from pipelines.training.trial_folder import read_result

    inputs, targets, data, build = _FORMS[name]
    started = time.monotonic()
    study = "".join(letter if letter.isalnum() else "-" for letter in name)
    try:
        result = kerastudy.run(
            study=study,
            model=build,
            data=data(),
            space={"epochs": 3},
            budget=2,
            home=home,
            resources={"workers": 1},
            listen=lambda event: None,
        )
    except kerastudy.KerastudyError as error:
        return [name, inputs, targets, "", f"{type(error).__name__}: {error}", *[""] * len(FORMATS)]
    trained, score = read_result(result.best.folder), f"{result.winner.metric} {result.best.value:.4g}"
    cells = _export_all(result, home / f"exported-{study}")
    print(f"{name}: {score}, {cells}, {time.monotonic() - started:.0f} s", flush=True)
    return [name, inputs, targets, trained.trainer if trained else "", score, *cells]


def _export_all(result: kerastudy.StudyResult, folder: Path) -> list[str]:
    """Return a cell for each format: of one export where all succeed, else of an export for each."""
    try:
        return list(map(_describe, result.export(folder, FORMATS)))
    except kerastudy.KerastudyError:
        return [_export(result, folder.with_name(f"{folder.name}-{each}"), each) for each in FORMATS]


def _export(result: kerastudy.StudyResult, folder: Path, name: str) -> str:
    try:
        (parity,) = result.export(folder, [name])
    except kerastudy.KerastudyError as error:
        return f"no: {error}"
    return _describe(parity)


def _describe(parity: Parity) -> str:
    difference = f"{parity.largest_difference:.0e}" if parity.largest_difference else "equal"
    return f"{difference}; {parity.note}" if parity.note else difference


def main() -> None:
    """Run the forms that are named, or all, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*")
    chosen = arguments.parse_args().names or list(_FORMS)
    with tempfile.TemporaryDirectory() as home:
        rows = [_run_form(name, Path(home)) for name in chosen]
    print("\n| form | x | y | trainer | score | " + " | ".join(FORMATS) + " |")
    print("|---" * (5 + len(FORMATS)) + "|")
    for row in rows:
        print("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in row) + " |")


if __name__ == "__main__":
    main()
