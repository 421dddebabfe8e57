"""Memory of the GPUs of a fleet's process."""

from __future__ import annotations

import jax


def read_gpu_peak() -> int | None:
    """Return the most bytes that XLA's allocator had in use since the process began; None without a GPU."""
    gpus = [device for device in jax.local_devices() if device.platform == "gpu"]
    # None where the allocator counts nothing.
    peaks = [stats["peak_bytes_in_use"] for gpu in gpus if (stats := gpu.memory_stats())]
    return sum(peaks) if peaks else None
