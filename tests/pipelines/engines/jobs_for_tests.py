"""Jobs that misbehave in every way a training can."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time

import numpy as np

from search_spaces.errors import InputError, KerastudyError, Problem


def echo(payload, channel):
    channel.report(payload)
    print("printed by the job")
    os.write(2, b"written below Python\n")
    return channel.request("which?")


def slow_but_alive(payload, channel):
    for _ in range(20):
        time.sleep(0.2)
        channel.beat()
    return "done"


def killed(payload, channel):
    os.kill(os.getpid(), signal.SIGKILL)


def exits(payload, channel):
    os._exit(7)


def segfault(payload, channel):
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(payload, channel):
    time.sleep(600)


def busy(payload, channel):
    while True:
        channel.beat()
        time.sleep(0.1)


def allocate(payload, channel):
    return float(np.ones(10**10).sum())


def grow(payload, channel):
    kept = []
    while True:
        kept.append(np.ones(10**6))
        channel.beat()
        time.sleep(0.01)


def map_file(payload, channel):
    rows = np.memmap(payload, np.uint8, "r")
    touched = int(rows[::4096].sum())
    time.sleep(1.5)  # the engine measures twice a second
    return touched


def fails(payload, channel):
    raise ValueError("first line\nsecond line")


def fails_with_message(payload, channel):
    raise KerastudyError("loss became nan in epoch 1")


def refuses(payload, channel):
    raise InputError(Problem("no such column", "data.target"))


def quits(payload, channel):
    sys.exit(3)


def report_process(payload, channel):
    return os.getpid()


def list_loaded(payload, channel):
    import keras

    names = ("jax", "keras", "keras_tuner", "tensorflow")
    return [name for name in names if sys.modules.get(name)], keras.backend.backend()


def list_modules(payload, channel):
    heavy = {"tensorflow", "jax", "keras", "keras_tuner", "sklearn", "matplotlib", "mlflow", "optuna", "scipy"}
    return sorted({*heavy, "numpy", "pandas"} & set(sys.modules))


def read_data(payload, channel):
    """Return what a file of the job's data holds, and the folder that it was read from."""
    from pipelines.engines.local_copies import locate

    folder = locate(payload)
    return (folder / "below" / "rows.txt").read_text(), str(folder)


def allocate_in_xla(payload, channel):
    import jax.numpy as jnp

    return float(jnp.ones(10**10).sum())


def measure_threads(payload, channel):
    """Return the processor time of each thread in half a second or more of arithmetic, most first."""
    import jax
    import psutil

    before = {thread.id: thread.user_time + thread.system_time for thread in psutil.Process().threads()}
    product = jax.jit(lambda x: x @ x @ x @ x)
    x = np.ones((1500, 1500), np.float32)
    for _ in range(5):
        product(x).block_until_ready()
    after = {thread.id: thread.user_time + thread.system_time for thread in psutil.Process().threads()}
    return sorted((spent - before.get(id, 0.0) for id, spent in after.items()), reverse=True)


def run_compiled(payload, channel):
    import jax

    return float(jax.jit(lambda x: x * 3 + 1)(payload))


def finds_no_room(payload, channel):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def finds_no_room_in_hdf5(payload, channel):
    raise RuntimeError("Unable to write (file write failed: errno = 28, error message = 'No space left on device')")


def runs_out_of_memory(payload, channel):
    raise MemoryError("too much")


def use_wrappers(payload, channel):
    import keras

    try:
        keras.wrappers.SKLearnClassifier(lambda x, y: None)
        has_wrappers = True
    except ImportError:
        has_wrappers = False
    import sklearn.linear_model

    return has_wrappers, callable(sklearn.linear_model.Ridge)


def show_devices(payload, channel):
    """Return the variables of the process that decide its devices."""
    names = ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION", "TF_FORCE_GPU_ALLOW_GROWTH", "JAX_PLATFORMS")
    return {name: os.environ.get(name) for name in names}


def show_variable(payload, channel):
    """Return the variable of that name."""
    return os.environ.get(payload)


def wait_for_answer(payload, channel):
    channel.request("go on?")
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def lacks_gpu_memory(payload, channel):
    channel.request("go on?")
    raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes.")


def ask_often(payload, channel):
    return [channel.request(number) for number in range(payload)]
