"""Compilation of a fleet's functions, and where compiled ones are found again."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import jax
import numpy as np
import pytest

from pipelines.training.fleet import compiling, stored_programs
from pipelines.training.fleet.compiling import CompiledFunction

NUMBERS = {"a": np.arange(4, dtype=np.float32), "b": np.float32(3.0)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Programs are stored in a folder of the test, and this process has none."""
    monkeypatch.setattr(compiling, "_programs", {})
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", None)


def count_traces(closes_over="it", factor=2.0):
    """Return a function that is compiled at its first call, and the list of its traces."""
    traced = []

    def double(numbers):
        traced.append(numbers)
        return {"doubled": numbers["a"] * factor + numbers["b"], "b": numbers["b"] + 1.0}

    return CompiledFunction(double, (0,), closes_over), traced


def run_in_new_process(function):
    """Run a function as in a process that has compiled nothing yet."""
    compiling._programs.clear()
    return np.asarray(function(jax.tree.map(jax.numpy.asarray, NUMBERS))["doubled"])


def test_an_option_that_this_release_does_not_know_is_left_out(monkeypatch):
    """XLA adds and removes options; a program is compiled without one that is gone."""
    monkeypatch.setattr(compiling, "_FOR_A_FEW_CALLS", {"xla_of_another_release": True})
    function = CompiledFunction(lambda x: x + 1, (), "", called_seldom=True)
    assert function(np.float32(1.0)) == 2.0


def test_equal_functions_share_a_program(folder):
    """Within a process, functions that close over the same are traced once; others have their own."""
    (first, traced), (second, again), (third, other) = count_traces(), count_traces(), count_traces("else", 3.0)
    results = [float(each(dict(NUMBERS))["doubled"][1]) for each in (first, second, first, third)]
    assert results == [5.0, 5.0, 5.0, 6.0]
    assert (len(traced), len(again), len(other)) == (1, 0, 1)


def test_the_next_process_traces_nothing(folder):
    """A stored program has the result of the one that was compiled, and its arguments' buffers may be donated."""
    (first, _), (second, traced) = count_traces(), count_traces()
    expected = run_in_new_process(first)
    assert [file.suffix for file in folder.iterdir()] == [".program"]
    np.testing.assert_array_equal(run_in_new_process(second), expected)
    np.testing.assert_array_equal(np.asarray(second(dict(NUMBERS))["doubled"]), expected)
    assert traced == []


@pytest.mark.parametrize("content", [b"", b"spoiled", None])
def test_a_program_that_cannot_be_loaded_is_compiled_again(folder, content):
    """A file that was cut off, or holds something else, costs a compilation, and is written anew."""
    (first, _), (second, traced), (third, again) = count_traces(), count_traces(), count_traces()
    expected = run_in_new_process(first)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    np.testing.assert_array_equal(run_in_new_process(second), expected)
    np.testing.assert_array_equal(run_in_new_process(third), expected)
    assert (len(traced), again) == (1, [])


def test_a_program_that_fails_at_its_first_call_is_compiled_again(folder, monkeypatch):
    """The arguments are still there for the program that takes its place."""
    (first, _), (second, traced) = count_traces(), count_traces()
    expected = run_in_new_process(first)

    def fail(*arguments):
        for leaf in jax.tree.leaves(arguments):
            getattr(leaf, "delete", list)()
        raise RuntimeError("function not found")

    monkeypatch.setattr(stored_programs.serialize_executable, "deserialize_and_load", lambda *_, **__: fail)
    np.testing.assert_array_equal(run_in_new_process(second), expected)
    assert len(traced) == 1


@pytest.mark.parametrize("change", ["code", "settings", "variables", "processor", "shape"])
def test_what_a_program_follows_from_is_in_its_name(folder, monkeypatch, change):
    """Other code, another setting of JAX, a variable that XLA reads, another processor, other shapes: another file."""
    before = stored_programs.find_program(["it"])
    if change == "code":
        monkeypatch.setattr(stored_programs, "_CODE", "other")
    elif change == "settings":
        jax.config.update("jax_default_matmul_precision", "float32")
    elif change == "variables":
        monkeypatch.setitem(os.environ, "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    elif change == "processor":
        monkeypatch.setattr(stored_programs, "_read_processor", lambda: "other")
    try:
        assert stored_programs.find_program(["shape" if change == "shape" else "it"]) != before
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert before.parent == folder


def test_nothing_is_stored_without_a_folder(monkeypatch):
    """A worker without a home's folder of programs compiles, and leaves nothing."""
    monkeypatch.setattr(compiling, "_programs", {})
    assert stored_programs.find_program(["it"]) is None
    function, _ = count_traces()
    assert float(function(dict(NUMBERS))["doubled"][1]) == 5.0


def test_a_program_that_was_begun_is_not_compiled_again(folder):
    """It is compiled once, in its thread, for the shapes of the later call, and stored for the next process."""
    (function, traced), (other, again) = count_traces(), count_traces()
    function.begin(dict(NUMBERS))
    function.begin(dict(NUMBERS))
    assert float(function(dict(NUMBERS))["doubled"][1]) == 5.0
    assert len(traced) == 1
    run_in_new_process(other)
    assert again == []


def test_what_fails_in_the_thread_fails_at_the_call(folder):
    def fail(numbers):
        raise ValueError("no such layer")

    function = CompiledFunction(fail, (), "fails")
    function.begin(dict(NUMBERS))
    with pytest.raises(ValueError, match="no such layer"):
        function(dict(NUMBERS))


def test_two_threads_that_compile_leave_the_cache_as_it_was(folder):
    """The first to end must not turn JAX's cache on for the other."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    first, second = stored_programs.compile_anew(), stored_programs.compile_anew()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert getattr(jax.config, name) > before
    second.__exit__(None, None, None)
    assert getattr(jax.config, name) == before


def compile_in_process(folder, barrier, traces):
    """Compile as a worker does, and put the number of traces into a queue."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    compiling._programs.clear()
    traced = []

    def make_slow():
        """Return a new function each time: of one that it knows JAX traces nothing again."""

        def slow(numbers):
            traced.append(numbers)
            time.sleep(1.0)  # until the other one has begun too
            return numbers["a"] + 1.0

        return slow

    begun, called = (CompiledFunction(make_slow(), (), text) for text in ("begun", "called"))
    barrier.wait()
    begun.begin(dict(NUMBERS))
    results = [float(each(dict(NUMBERS))[1]) for each in (called, begun)]
    traces.put((results, len(traced)))


def test_processes_that_begin_at_once_compile_each_program_once(tmp_path):
    """The fleets of a study begin with the same program: one worker compiles it, the others load it."""
    context = multiprocessing.get_context("spawn")
    barrier, traces = context.Barrier(2), context.Queue()
    workers = [context.Process(target=compile_in_process, args=(tmp_path, barrier, traces)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [traces.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert [results for results, _ in found] == [[2.0, 2.0]] * 2
    assert sum(traced for _, traced in found) == 2
    assert {file.suffix for file in tmp_path.iterdir()} == {".program"}


def test_who_waited_for_a_program_that_was_not_stored_keeps_no_other_waiting(folder):
    """A disk that is full, or a worker that is killed: all compile at once then, and not in a row."""
    file = folder / "it.program"
    with stored_programs.wait_for_others(file):
        other = threading.Thread(target=lambda: lasting.append(hold(file, finished)))
        lasting, finished = [], threading.Event()
        other.start()
        time.sleep(0.3)
    with stored_programs.wait_for_others(file):
        finished.set()
    other.join(60)
    assert lasting == [True]


def hold(file, finished):
    """Wait for others, and for an event within the context; return whether it came."""
    with stored_programs.wait_for_others(file):
        return finished.wait(60)
