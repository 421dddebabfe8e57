"""The local engine: the contract of engines, and what is its alone: recycled workers, compiled programs, GPUs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import psutil
import pytest
from engine_contract import FOLDER, EngineContract, end_of, job
from fake_gpus import FakeGpus, make_gpus

from pipelines.engines.base import Finished, Requested
from pipelines.engines.fork_server import ForkedProcess
from pipelines.engines.gpus.places import choose_gpus
from pipelines.engines.local_engine import LocalEngine, cores
from pipelines.engines.run_job import run_job
from pipelines.engines.warm.settings import SECONDS
from search_spaces.errors import KerastudyError


@pytest.fixture(scope="module")
def engine():
    sys.path.append(FOLDER)  # workers take over the path
    engine = LocalEngine(2)
    yield engine
    engine.close()
    sys.path.remove(FOLDER)


@pytest.fixture(params=["tensorflow", "jax"])
def backend(request):
    return request.param


class TestLocalEngine(EngineContract):
    """The local engine by the rules of every engine."""


def test_a_crash_below_a_limit_of_memory_names_the_limit(engine, tmp_path):
    """A library that gets no memory may crash by what it did not get."""
    engine.submit(job("segfault", tmp_path, memory_bytes=2 * 10**9))
    assert "more than its 2,000 MB of memory (limits.memory)" in end_of(engine, "segfault").reason
    engine.submit(job("segfault", tmp_path))
    assert "limits.memory" not in end_of(engine, "segfault").reason


def test_workers_are_replaced_after_a_number_of_jobs(engine, tmp_path, monkeypatch):
    """A worker's memory grows with every trial that TensorFlow traces, so it does not live for ever."""
    monkeypatch.setattr("pipelines.engines.worker_process._JOBS_PER_WORKER", 2)
    seen = [run_job(engine, job("report_process", tmp_path)) for _ in range(6)]
    assert len(set(seen)) >= 3


def test_a_jax_worker_stays_until_it_has_grown(engine, tmp_path, monkeypatch):
    """It holds compiled programs, so it goes only when it takes much more memory than after its first job."""
    monkeypatch.setattr("pipelines.engines.worker_process._JOBS_PER_WORKER", 1)
    assert len({run_job(engine, job("report_process", tmp_path, "jax")) for _ in range(5)}) == 1
    monkeypatch.setattr("pipelines.engines.worker_process._MOST_GROWTH_BYTES", -(10**12))
    assert len({run_job(engine, job("report_process", tmp_path, "jax")) for _ in range(3)}) == 3


def test_own_code_finds_keras_whole(tmp_path):
    """Workers for user models have Keras's wrappers for scikit-learn; those for the families load it on demand."""
    whole, lean = LocalEngine(1), LocalEngine(1, user_code=False)
    sys.path.append(FOLDER)
    with closing(whole), closing(lean):
        assert run_job(whole, job("use_wrappers", tmp_path)) == (True, True)
        assert run_job(lean, job("use_wrappers", tmp_path)) == (False, True)
    sys.path.remove(FOLDER)


def test_memory_that_xla_cannot_have_is_named(engine, tmp_path):
    """XLA's own error for a failed allocation is the job's memory limit, not a defect."""
    engine.submit(job("allocate_in_xla", tmp_path, "jax", memory_bytes=2 * 10**9))
    end = end_of(engine, "allocate_in_xla")
    assert end.kind == "memory", end


def test_a_jax_worker_keeps_to_its_threads(engine, tmp_path):
    """As many workers as cores get one thread each: nearly all arithmetic of one happens in one thread."""
    if engine.threads != 1:
        pytest.skip("this machine has more cores than the engine has workers")
    spent = run_job(engine, job("measure_threads", tmp_path, "jax"))
    assert spent[0] > 0.8 * sum(spent), spent


def test_compiled_programs_are_kept_between_workers(tmp_path, monkeypatch):
    """A later study finds on disk what an earlier one compiled, be it quick to compile or small."""
    monkeypatch.syspath_prepend(FOLDER)
    kept = []
    for _ in range(2):
        engine = LocalEngine(1, cache=tmp_path / "programs")
        try:
            assert run_job(engine, job("run_compiled", tmp_path, "jax", payload=2.0)) == 7.0
        finally:
            engine.close()
        kept.append(sorted(file.name for file in (tmp_path / "programs").glob("*-cache")))
    assert kept[0]
    assert kept[0] == kept[1]


def test_a_spoiled_program_is_compiled_again(tmp_path, monkeypatch):
    """A worker that was killed while it wrote a program to disk costs the next one a compilation, not its job."""
    monkeypatch.syspath_prepend(FOLDER)
    for _ in range(2):
        engine = LocalEngine(1, cache=tmp_path / "programs")
        try:
            assert run_job(engine, job("run_compiled", tmp_path, "jax", payload=2.0)) == 7.0
        finally:
            engine.close()
        for file in (tmp_path / "programs").glob("*-cache"):
            file.write_bytes(file.read_bytes()[:100])


def test_without_jax_the_extra_is_named(engine, tmp_path, monkeypatch):
    """A job that needs what is not installed is refused, and the message names the package to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(KerastudyError, match=r'pip install "kerastudy\[jax\]"'):
        engine.warm("jax")


@pytest.mark.long
def test_workers_end_with_their_supervisor(tmp_path, backend):
    """Kill -9 of the supervisor leaves no worker behind, not even a silent one."""
    script = (
        "import time\nfrom pathlib import Path\n"
        "from pipelines.engines.base import Job, JobFunction\nfrom pipelines.engines.local_engine import LocalEngine\n"
        "if __name__ == '__main__':\n"
        "    engine = LocalEngine(2)\n"
        f"    log = Path({str(tmp_path / 'log')!r})\n"
        "    for name in ('busy', 'hang'):\n"
        f"        engine.submit(Job(name, JobFunction(f'jobs_for_tests:{{name}}'), None, log, backend={backend!r}))\n"
        "    while engine._starting:\n        engine.events(0.1)\n"
        "    print('started', flush=True)\n    time.sleep(600)\n"
    )
    file = tmp_path / "supervisor.py"
    file.write_text(script)
    environ = {**os.environ, "PYTHONPATH": FOLDER, SECONDS: "0"}  # a kept server would stay
    parent = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, env=environ)
    parent.stdout.readline()
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 3  # two workers and their server
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive


# GPUs: this machine may have none, so the list is made up, and so is what the backends find.


@pytest.fixture
def make_gpu_engine(monkeypatch):
    """Return a function that starts an engine on GPUs that do not exist, in the eyes of whose backends they do."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(LocalEngine, "_check_gpus", lambda engine, worker, found: None)
    started = []

    def make(gpus, each=None):
        started.append(LocalEngine(gpus=choose_gpus(each, FakeGpus(gpus), os.environ), user_code=True))
        return started[-1]

    yield make
    for each in started:
        each.close()


def answer_requests(engine, count):
    """Let so many jobs reach their request, and answer them all."""
    waiting = set()
    while len(waiting) < count:
        waiting |= {event.job for event in engine.events(1.0) if isinstance(event, Requested)}
    for name in waiting:
        engine.answer(name, None)


def test_each_worker_sees_the_gpus_of_its_place(make_gpu_engine, tmp_path):
    """Jobs are spread over the GPUs by CUDA_VISIBLE_DEVICES, and a job aside sees none."""
    engine = make_gpu_engine(make_gpus(2), 0.5)
    assert engine.workers == 4
    for number in range(4):
        engine.submit(replace(job("wait_for_answer", tmp_path), name=f"job-{number}"))
    engine.submit(replace(job("show_devices", tmp_path), name="aside", aside=True))
    aside = end_of(engine, "aside").result
    assert (aside["CUDA_VISIBLE_DEVICES"], aside["JAX_PLATFORMS"]) == ("-1", "cpu")
    assert engine.idle == 0
    for number in range(4):
        engine.answer(f"job-{number}", None)
    seen = []
    while len(seen) < 4:
        for event in engine.events(1.0):
            if isinstance(event, Requested):
                engine.answer(event.job, None)
            elif isinstance(event, Finished):
                seen.append(event.result)
    assert sorted(seen) == ["GPU-a0", "GPU-a0", "GPU-b1", "GPU-b1"]


def test_work_without_keras_sees_no_gpu(make_gpu_engine, tmp_path):
    """It takes no place on a GPU, and has no backend that could report what it found."""
    engine = make_gpu_engine(make_gpus(1), 1)
    found = run_job(engine, job("show_devices", tmp_path, "none"))
    assert (found["CUDA_VISIBLE_DEVICES"], found["JAX_PLATFORMS"]) == ("-1", "cpu")


def test_a_worker_grows_into_a_shared_gpu(make_gpu_engine, tmp_path, backend):
    """TensorFlow takes memory as it needs it, and JAX no more than its share."""
    found = run_job(make_gpu_engine(make_gpus(1), 0.25), job("show_devices", tmp_path, backend))
    assert (found["CUDA_VISIBLE_DEVICES"], found["XLA_PYTHON_CLIENT_MEM_FRACTION"]) == ("GPU-a0", "0.225")
    if backend == "tensorflow":
        assert found["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_a_gpu_out_of_memory_costs_one_attempt_and_takes_fewer_jobs(make_gpu_engine, tmp_path):
    """The job fails alone, with a reason that states the new layout; the others on its GPU go on."""
    engine = make_gpu_engine(make_gpus(1), 0.5)
    engine.submit(job("lacks_gpu_memory", tmp_path))
    engine.submit(job("wait_for_answer", tmp_path))
    answer_requests(engine, 1)
    ends = {}
    while len(ends) < 2:
        for event in engine.events(1.0):
            if isinstance(event, Requested):
                engine.answer(event.job, None)
            else:
                ends[event.job] = event
    assert ends["wait_for_answer"].result == "GPU-a0"
    failed = ends["lacks_gpu_memory"]
    assert failed.kind == "memory"
    assert failed.reason.endswith("GPU GPU-a0 takes 1 trial at a time from now on; resources.gpus sets that")
    assert (engine.workers, engine.idle) == (1, 1)


def test_gpus_that_the_backend_cannot_use_are_left_for_the_cpu(tmp_path, monkeypatch):
    """By default a study goes on without GPUs that TensorFlow does not find, and its layout states what to install."""
    monkeypatch.syspath_prepend(FOLDER)
    gpus = choose_gpus(None, FakeGpus(make_gpus(1)), {})
    with closing(LocalEngine(gpus=gpus)) as engine:
        run_job(engine, job("report_process", tmp_path))
        assert engine.workers == cores()
        assert engine.layout.gpu_bytes is None
        assert engine.layout.text == (
            "1 GPU (NVIDIA A100-SXM4-80GB) found, none is used: TensorFlow finds 0 of the 1 GPUs of its worker; "
            'pip install "tensorflow[and-cuda]", or set resources.gpus: 0'
        )
        assert run_job(engine, job("show_devices", tmp_path))["CUDA_VISIBLE_DEVICES"] == "-1"


def test_gpus_that_the_study_file_sets_must_be_usable(tmp_path, monkeypatch, backend):
    """Where a person set the number of GPUs, a backend without them is an error, and not a slow study."""
    monkeypatch.syspath_prepend(FOLDER)
    gpus = choose_gpus(1, FakeGpus(make_gpus(1)), {})
    with closing(LocalEngine(gpus=gpus)) as engine, pytest.raises(KerastudyError, match="finds 0 of the 1 GPUs"):
        run_job(engine, job("report_process", tmp_path, backend))


@pytest.mark.parametrize("kind", ["tensorflow_whole", "jax"])
def test_no_device_is_touched_before_a_worker_starts(kind):
    """A fork server has loaded its backend and started nothing: CUDA's state would not survive the fork."""
    ours, theirs = multiprocessing.Pipe()
    process = ForkedProcess(f"pipelines.engines.preload.{kind}", report_started, (theirs,))
    process.start()
    assert ours.recv() is False
    process.join()


def report_started(connection):
    """Send whether this process, forked a moment ago, has the runtime of its backend."""
    if "tensorflow" in sys.modules:
        from tensorflow.python.eager import context

        connection.send(context.context()._initialized)
    else:
        from jax._src import xla_bridge

        connection.send(bool(xla_bridge._backends))
