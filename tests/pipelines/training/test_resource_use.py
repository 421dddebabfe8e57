"""Resources that a training used in its worker."""

import time
from dataclasses import asdict

import numpy as np
import pytest

from pipelines.training import resource_use
from pipelines.training.resource_use import UNKNOWN_USE, ResourceMeter, ResourceUse, sum_use


def test_times_add_up_and_peaks_do_not():
    """What is not known changes nothing; without anything known nothing is."""
    uses = [ResourceUse(1.0, 50, None), UNKNOWN_USE, ResourceUse(0.5, 70, 9), ResourceUse(0.25, 60, None)]
    assert sum_use(uses) == ResourceUse(1.75, 70, 9)
    assert sum_use([UNKNOWN_USE]) == UNKNOWN_USE == sum_use([])


def test_a_fleet_s_trials_share_its_memory_and_divide_its_time():
    """Each has the whole peak, and an equal part of the time."""
    assert ResourceUse(1.0, 80, 8).divide(4) == ResourceUse(0.25, 80, 8)
    assert UNKNOWN_USE.divide(4) == UNKNOWN_USE


def test_what_is_stored_is_read():
    """Results of earlier releases have none."""
    use = ResourceUse(1.0, 80, None)
    assert ResourceUse.from_stored(asdict(use)) == use
    assert ResourceUse.from_stored(None) == UNKNOWN_USE


def test_readings_are_apart():
    """Each reading has the time and the peak since the one before."""
    meter = ResourceMeter(lambda: 7)
    block = np.ones(30_000_000)
    large = meter.read()
    del block
    meter.read()  # its peak is still what was resident at its begin
    ended = time.process_time() + 0.05
    while time.process_time() < ended:
        pass
    small = meter.read()
    assert small.cpu_s >= 0.05
    assert large.peak_gpu_memory_bytes == 7
    if resource_use._reset_peak():
        assert large.peak_memory_bytes - small.peak_memory_bytes > 200_000_000


def test_a_peak_without_a_reset_is_known_only_if_it_grew(monkeypatch):
    """A container may forbid the reset: the process's peak is that of the reading, or of an earlier one."""
    peaks = iter([100, 100, 100, 130, 130])
    monkeypatch.setattr(resource_use, "_reset_peak", lambda: False)
    monkeypatch.setattr(resource_use, "_read_peak", lambda: next(peaks))
    meter = ResourceMeter()
    assert meter.read().peak_memory_bytes is None
    assert meter.read().peak_memory_bytes == 130


@pytest.mark.parametrize("gpus", [0, 2])
def test_gpu_memory_is_that_of_all_gpus(monkeypatch, gpus):
    """The peak of each GPU counts, and counts anew from the next reading on; without a GPU there is none."""

    class Memory:
        resets = 0

        def get_memory_info(self, name):
            return {"peak": 10, "current": 5}

        def reset_memory_stats(self, name):
            Memory.resets += 1

    class Device:
        name = "/device:GPU:0"

    class Fake:
        class config:  # noqa: N801
            experimental = Memory()

            @staticmethod
            def list_logical_devices(kind):
                return [Device()] * gpus

    monkeypatch.setitem(resource_use.sys.modules, "tensorflow", Fake)
    assert resource_use.read_tensorflow_gpu_peak() == (20 if gpus else None)
    assert Memory.resets == gpus
