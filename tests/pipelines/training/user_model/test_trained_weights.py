"""The model that is kept of a `fit` is one that was trained, whichever loop trained it."""

from __future__ import annotations

from pathlib import Path

import pytest
from user_model_jobs import train, write_fit

from pipelines.training.trial_folder import USER_MODEL_WEIGHTS_FILE, explain_missing_model, has_model

LOOP = (
    "import tensorflow as tf",
    "optimizer = keras.optimizers.SGD(0.1)",
    "with tf.GradientTape() as tape:",
    "    loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x)))",
    "gradients = tape.gradient(loss, model.trainable_variables)",
)
APPLY = "optimizer.apply_gradients(zip(gradients, model.trainable_variables))"
ASSIGN = "for w, g in zip(model.trainable_variables, gradients): w.assign(w - 0.1 * g)"
BUILT = ("layers.Flatten()", "keras.Input((8, 8, 1)), layers.Flatten()")


@pytest.mark.long
@pytest.mark.parametrize(
    ("lines", "is_built"),
    [
        ((*LOOP, APPLY), False),
        ((*LOOP, ASSIGN), True),
        (("data.pop('callbacks')", "one(model)"), False),
        (("other = self.build(hp)", "data.pop('callbacks')", "one(other)", "one(model, epochs=1)"), False),
    ],
)
def test_a_model_that_was_trained_is_kept(job, lines, is_built):
    """By Keras's loop or a custom one, with no callback called."""
    text = write_fit(*lines, "return 0.5")
    its, result, _ = train(job, text.replace(*BUILT) if is_built else text)
    assert result.value == 0.5
    assert has_model(Path(its.folder))


@pytest.mark.parametrize("is_built", [False, True])
def test_a_model_that_was_not_trained_is_not_handed_over(job, is_built):
    """Where `fit` trains others, unseen, the score alone is kept, with the reason and the way out."""
    text = write_fit(
        "data.pop('callbacks')", "model.predict(x[:2], verbose=0)", "one(self.build(hp))", "return [0.5, 0.7]"
    )
    its, result, _ = train(job, text.replace(*BUILT) if is_built else text)
    folder = Path(its.folder)
    assert result.value == pytest.approx(0.6)
    assert not has_model(folder)
    assert not (folder / USER_MODEL_WEIGHTS_FILE).exists()
    reason = explain_missing_model(folder)
    assert reason.startswith("fit in model.py did not train the model that it was given")
    assert "callbacks=callbacks" in reason
    assert "data.split.folds" in reason


def test_a_model_that_is_compiled_in_fit(job):
    """What `build` leaves uncompiled is trained and kept as any other."""
    text = write_fit("model.compile('adam', 'sparse_categorical_crossentropy')", "return one(model, epochs=1)")
    bare = text.replace('        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])\n', "")
    assert bare != text
    its, result, losses = train(job, bare)
    assert result.value == losses[0]
    assert has_model(Path(its.folder))
