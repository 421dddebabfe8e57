"""User model whose training fails in a chosen way: the file that a study of faults names.

The hyperparameter `fault` chooses the way, `times` the number of attempts. Each attempt and each fault is recorded in
the folder FAULTS_FOLDER. The file is copied next to the study file, so it imports nothing of the project.
"""

import ctypes
import json
import os
import signal
import time
from pathlib import Path

import keras
import keras_tuner
import numpy as np

_ROWS_OF_A_TRIAL = 100  # the checks before a study train for a moment on fewer


class Fault(keras.callbacks.Callback):
    """Fault of the training in its second epoch."""

    def __init__(self, kind, times, key):
        super().__init__()
        self._kind = kind
        self._times = times
        self._folder = Path(os.environ["FAULTS_FOLDER"])
        self._key = key
        self._attempt = len(list(self._folder.glob(f"{key}-begun-*"))) + 1
        self.beats = []
        self._note("begun")

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and self._attempt <= self._times and self._kind != "none":
            self._note("struck")
            getattr(self, self._kind)()

    def segfault(self):
        ctypes.string_at(0)

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def leaves(self):
        os._exit(3)

    def memory(self):
        hoard = [np.ones(1)]
        while True:  # soon more than there is, and not so much before that filling it takes time
            hoard.append(np.ones(32 * len(hoard[-1])))

    def hang(self):
        time.sleep(10_000)

    def overtime(self):
        while True:
            time.sleep(0.05)
            for each in self.beats:
                each.on_train_batch_end(0, {})

    def _note(self, what):
        note = {"at": time.time(), "pid": os.getpid()}
        (self._folder / f"{self._key}-{what}-{self._attempt}").write_text(json.dumps(note))


class Model(keras_tuner.HyperModel):
    """A small classifier."""

    def build(self, hp):
        model = keras.Sequential(
            [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3, activation="softmax")]
        )
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, x, y, callbacks=(), **keywords):
        kind = hp.Choice("fault", ["none", "segfault", "killed", "leaves", "memory", "hang", "overtime"])
        times, which = hp.Int("times", 0, 9), hp.Int("which", 0, 99)
        more = []
        if len(y) >= _ROWS_OF_A_TRIAL:
            fault = Fault(kind, times, f"{kind}-{which}")
            fault.beats = list(callbacks)
            more = [fault]
        return model.fit(x, y, epochs=3, batch_size=32, verbose=0, callbacks=[*callbacks, *more], **keywords)
