"""Sources of the GPUs of a machine: NVIDIA's management library, which lists them without starting CUDA.

A supervisor must never start CUDA: its context would take memory of the GPU, and would not survive a fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a slice of one (MIG).

    Attributes:
        index: its place in the order of PCI; that of the whole GPU for a slice.
        uuid: `GPU-...`, or `MIG-...` of a slice.
        model: its name, such as `NVIDIA A100-SXM4-80GB`.
        memory_bytes: all of its memory.
        whole: the UUID of the GPU that it is a slice of; empty for a whole GPU.
        instance: of a slice, the numbers of its GPU instance and its compute instance.
    """

    index: int
    uuid: str
    model: str
    memory_bytes: int
    whole: str = ""
    instance: tuple[int, int] | None = None


class GpuSource(Protocol):
    """A list of the GPUs of a machine, whatever `CUDA_VISIBLE_DEVICES` hides."""

    def list_gpus(self) -> Sequence[Gpu]:
        """Return them in the order of PCI; a GPU that is divided by MIG as its slices."""


class NvmlSource:
    """The GPUs that NVIDIA's driver manages; none where there is no driver."""

    def list_gpus(self) -> Sequence[Gpu]:
        """Return them; see `GpuSource`."""
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:  # no driver, or one that cannot be used
            return ()
        try:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
            return tuple(gpu for index, handle in enumerate(handles) for gpu in _describe(pynvml, index, handle))
        except pynvml.NVMLError:
            return ()
        finally:
            pynvml.nvmlShutdown()


def _describe(nvml: Any, index: int, handle: Any) -> Iterator[Gpu]:
    """Yield a GPU; its slices where MIG divides it."""
    uuid, model = _read_text(nvml.nvmlDeviceGetUUID(handle)), _read_text(nvml.nvmlDeviceGetName(handle))
    if not _is_divided(nvml, handle):
        yield Gpu(index, uuid, model, int(nvml.nvmlDeviceGetMemoryInfo(handle).total))
        return
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(nvml.NVMLError):  # not every number has a slice
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            instance = nvml.nvmlDeviceGetGpuInstanceId(part), nvml.nvmlDeviceGetComputeInstanceId(part)
            memory_bytes = int(nvml.nvmlDeviceGetMemoryInfo(part).total)
            yield Gpu(index, _read_text(nvml.nvmlDeviceGetUUID(part)), model, memory_bytes, uuid, instance)


def _is_divided(nvml: Any, handle: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:  # a GPU that has no MIG
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _read_text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # older releases return bytes
