"""Resources that a trial's training used in its worker: CPU time and peak memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5): sets the peak to what is resident now


@dataclass(frozen=True)
class ResourceUse:
    """CPU time and peak memory; None where they are not known.

    Attributes:
        cpu_s: seconds of all threads of the worker; of a fleet's trial, its part of the time of each epoch.
        peak_memory_bytes: most resident memory of the worker, libraries and shared pages included; a fleet's trials
            share it.
        peak_gpu_memory_bytes: most memory that the framework's allocator had in use, over the worker's GPUs.
    """

    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any] | None) -> ResourceUse:
        """Return what `asdict` made of one; earlier releases stored none."""
        return cls(**(stored or {}))

    def add(self, later: ResourceUse) -> ResourceUse:
        """Return this use and a later one together: the sum of the times, the greater of the peaks."""
        times = [each for each in (self.cpu_s, later.cpu_s) if each is not None]
        return ResourceUse(
            sum(times) if times else None,
            _find_greater(self.peak_memory_bytes, later.peak_memory_bytes),
            _find_greater(self.peak_gpu_memory_bytes, later.peak_gpu_memory_bytes),
        )

    def divide(self, trials: int) -> ResourceUse:
        """Return the part of one of so many trials: an equal part of the time, and the whole peaks."""
        return ResourceUse(
            None if self.cpu_s is None else self.cpu_s / trials, self.peak_memory_bytes, self.peak_gpu_memory_bytes
        )


UNKNOWN_USE: Final = ResourceUse()


def _find_greater(one: int | None, other: int | None) -> int | None:
    known = [each for each in (one, other) if each is not None]
    return max(known) if known else None


def sum_use(uses: Iterable[ResourceUse]) -> ResourceUse:
    """Return several uses together; see `ResourceUse.add`."""
    total = UNKNOWN_USE
    for use in uses:
        total = total.add(use)
    return total


class ResourceMeter:
    """Meter of this process, from its construction or the last reading.

    Args:
        read_gpu_peak: returns the bytes that GPUs have held at most; None without GPUs.
    """

    def __init__(self, read_gpu_peak: Callable[[], int | None] = lambda: None) -> None:
        self._read_gpu_peak = read_gpu_peak
        self._begin()

    def read(self) -> ResourceUse:
        """Return the use since the last reading, and begin the next one."""
        cpu_s, peak = time.process_time() - self._cpu_s, _read_peak()
        # Without a reset the peak is known only if it has grown since.
        is_known = peak is not None and (self._was_reset or peak != self._peak)
        use = ResourceUse(cpu_s, peak if is_known else None, self._read_gpu_peak())
        self._begin()
        return use

    def _begin(self) -> None:
        self._was_reset = _reset_peak()
        self._peak = None if self._was_reset else _read_peak()
        self._cpu_s = time.process_time()


def _read_peak() -> int | None:
    """Return the most resident bytes since the last reset, or since the process began."""
    try:
        text = _STATUS.read_text()
        return int(text[text.index("VmHWM:") :].split(None, 2)[1]) * 1024
    except OSError:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024  # in bytes there, in KiB elsewhere


def _reset_peak() -> bool:
    try:
        _RESET.write_text(_RESET_PEAK)
    except OSError:  # no Linux, or a container that forbids it
        return False
    return True


def read_tensorflow_gpu_peak() -> int | None:
    """Return the most bytes that TensorFlow's allocator had in use since the last call; None without a GPU."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not (gpus := tensorflow.config.list_logical_devices("GPU")):
        return None
    names = [gpu.name.removeprefix("/device:") for gpu in gpus]
    peaks = [int(tensorflow.config.experimental.get_memory_info(name)["peak"]) for name in names]
    for name in names:
        tensorflow.config.experimental.reset_memory_stats(name)
    return sum(peaks)
