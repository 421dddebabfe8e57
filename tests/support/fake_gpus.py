"""GPUs of a machine that does not exist: a source, and the slices and whole GPUs that it lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.engines.gpus.source import Gpu

A100 = "NVIDIA A100-SXM4-80GB"


@dataclass(frozen=True)
class FakeGpus:
    """See `source.GpuSource`."""

    gpus: Sequence[Gpu]

    def list_gpus(self) -> Sequence[Gpu]:
        return self.gpus


def make_gpus(count: int, *, memory_bytes: int = 80 * 10**9, model: str = A100) -> tuple[Gpu, ...]:
    """Return so many whole GPUs: `GPU-a0`, `GPU-b1`, ..."""
    return tuple(Gpu(index, f"GPU-{'abcdefgh'[index]}{index}", model, memory_bytes) for index in range(count))


def make_slices(index: int, count: int) -> tuple[Gpu, ...]:
    """Return the slices of a divided GPU: `MIG-0-0`, ..."""
    return tuple(
        Gpu(index, f"MIG-{index}-{part}", A100, 10 * 10**9, f"GPU-whole{index}", (part + 1, 0)) for part in range(count)
    )
