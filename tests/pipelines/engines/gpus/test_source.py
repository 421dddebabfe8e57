"""The source of GPUs: NVIDIA's library, here one that answers for a machine with a divided GPU beside a whole one."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pipelines.engines.gpus.source import Gpu, NvmlSource


class NVMLError(Exception):
    pass


def refuse(*arguments):
    raise NVMLError


class FakeNvml(SimpleNamespace):
    """The functions of `pynvml` that are used; handle 0 is divided into two slices of three."""

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1
    nvmlInit = nvmlShutdown = staticmethod(lambda: None)  # noqa: N815  # NVIDIA's names
    nvmlDeviceGetCount = staticmethod(lambda: 2)  # noqa: N815
    nvmlDeviceGetHandleByIndex = staticmethod(lambda index: index)  # noqa: N815
    nvmlDeviceGetUUID = staticmethod(lambda handle: f"GPU-{handle}" if handle in (0, 1) else f"MIG-{handle}")  # noqa: N815
    nvmlDeviceGetName = staticmethod(lambda handle: b"NVIDIA H100")  # noqa: N815
    nvmlDeviceGetMemoryInfo = staticmethod(lambda handle: SimpleNamespace(total=80 if handle == 1 else 20))  # noqa: N815
    nvmlDeviceGetMaxMigDeviceCount = staticmethod(lambda handle: 3)  # noqa: N815
    nvmlDeviceGetGpuInstanceId = staticmethod(lambda part: int(part[1:]) + 7)  # noqa: N815
    nvmlDeviceGetComputeInstanceId = staticmethod(lambda part: 0)  # noqa: N815

    @staticmethod
    def nvmlDeviceGetMigMode(handle):  # noqa: N802
        return (1, 1) if handle == 0 else refuse()

    @staticmethod
    def nvmlDeviceGetMigDeviceHandleByIndex(handle, number):  # noqa: N802
        return f"p{number}" if number < 2 else refuse()


def test_a_divided_gpu_is_listed_as_its_slices(monkeypatch):
    """Each slice has its own UUID and memory, and the index of its GPU; a GPU without MIG is itself."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    assert NvmlSource().list_gpus() == (
        Gpu(0, "MIG-p0", "NVIDIA H100", 20, "GPU-0", (7, 0)),
        Gpu(0, "MIG-p1", "NVIDIA H100", 20, "GPU-0", (8, 0)),
        Gpu(1, "GPU-1", "NVIDIA H100", 80),
    )


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetUUID"])
def test_a_driver_that_does_not_answer_has_no_gpus(monkeypatch, broken):
    """Without a driver, or with a broken one, there is no GPU to use."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(**{broken: refuse}))
    assert NvmlSource().list_gpus() == ()
