"""Plan of trials on GPUs: fleets first, else by the memory of the largest model and its rows."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
from desk import SUMMARY
from fake_gpus import FakeGpus, make_gpus
from small_studies import study_of

from pipelines.engines.gpus.places import choose_gpus
from pipelines.engines.local_engine import LocalEngine
from pipelines.operations import gpu_plan
from pipelines.operations.check import StudyCheck
from pipelines.operations.gpu_plan import plan_gpus
from pipelines.training.messages import ModelCheck

GB = 10**9
MODEL = ModelCheck(10, 6 * GB, 0.0, 0.0, 3)
FLEETS = "study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\nspace: {epochs: 3}\n"
ALONE = FLEETS + "resources: {fleet: off}\n"


@pytest.fixture(autouse=True)
def _use_16_cores(monkeypatch):
    monkeypatch.setattr("pipelines.engines.local_engine.cores", lambda: 16)


def plan(text, folder, *, gpus_per_worker=None, model=MODEL, gpus=2):
    choice = choose_gpus(gpus_per_worker, FakeGpus(make_gpus(gpus)), {})
    with closing(LocalEngine(gpus=choice)) as engine:
        plan_gpus(study_of(text), StudyCheck(SUMMARY, model, model), folder, engine)
        return engine.workers, engine.layout


def test_trials_share_a_gpu_where_their_memory_allows(tmp_path):
    """The largest model decides, together with the rows that a trial may hold on its GPU."""
    workers, layout = plan(ALONE, tmp_path)
    assert workers == 8
    assert layout.text == (
        "2 GPUs (NVIDIA A100-SXM4-80GB): 4 trials on each, the largest model takes about 10.0 GB of 80.0 GB "
        "(resources.gpus)"
    )
    (tmp_path / "x.npy").write_bytes(bytes(10**6))
    assert "10.0 GB" in plan(ALONE, tmp_path)[1].text
    workers, _ = plan(ALONE, tmp_path, model=replace(MODEL, memory_bytes=30 * GB))
    assert workers == 2


@pytest.mark.parametrize("model", [replace(MODEL, memory_bytes=0), replace(MODEL, refused="too large")])
def test_a_model_of_unknown_size_has_its_gpu_alone(tmp_path, model):
    """Where the largest model could not be built, nothing is predicted."""
    assert plan(ALONE, tmp_path, model=model)[0] == 2


def test_fleets_have_a_gpu_each(tmp_path, monkeypatch):
    """A fleet takes many trials at once, so each GPU has one."""
    monkeypatch.setattr(gpu_plan, "_JAX_PLUGINS", ("json",))
    workers, layout = plan(FLEETS, tmp_path)
    assert workers == 2
    assert layout.text == "2 GPUs (NVIDIA A100-SXM4-80GB): 1 fleet on each (resources.gpus)"
    assert layout.gpu_bytes == 72 * GB


def test_without_jax_on_cuda_fleets_stay_on_the_cpu(tmp_path, monkeypatch):
    """Trials of small networks are faster in fleets on the CPU, and the line states what to install."""
    monkeypatch.setattr(gpu_plan, "_JAX_PLUGINS", ("no_such_plugin",))
    workers, layout = plan(FLEETS, tmp_path)
    assert (workers, layout.gpu_bytes) == (16, None)
    assert layout.text == (
        "2 GPUs (NVIDIA A100-SXM4-80GB) found, none is used: fleets run on JAX, which has no CUDA; "
        'pip install "jax[cuda13]"'
    )


def test_an_engine_on_the_cpu_is_left_alone(tmp_path):
    """Without GPUs nothing changes and nothing is stated."""
    assert plan(ALONE, tmp_path, gpus=0) == (16, LocalEngine().layout)


def test_gpus_that_a_trial_leaves_idle_are_stated(tmp_path):
    """A worker of two GPUs whose trials train on one has a line that names the key."""
    _, layout = plan(ALONE, tmp_path, gpus_per_worker=2, model=replace(MODEL, memory_bytes=GB))
    assert "a trial trains on 1 of them, and with resources.devices: all on all" in layout.text
