"""Places of a machine's workers on its GPUs: which worker gets which GPU, and how many workers share one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.engines.gpus.source import GpuSource, NvmlSource
from pipelines.engines.gpus.visible import NO_GPU, VARIABLE, VisibleGpu, list_visible_gpus
from search_spaces.errors import InputError, Problem

_KEY = "resources.gpus"
_SHARE = 0.9  # chosen; the rest is for contexts and for what libraries allocate beside the frameworks
_OVERHEAD_BYTES = 10**9  # chosen: a process's context and libraries on a data-centre GPU take 0.4 to 0.9 GB
_SLACK = 1.5  # chosen: the workspaces of convolutions, and gaps between allocations
_MOST_SHARING = 4  # chosen: small steps wait for the CPU most of the time, and more processes only swap places


@dataclass
class Place:
    """The GPUs of one worker, or a GPU that several share.

    Attributes:
        gpus: what each of its workers sees.
        room: number of workers that run here at once.
    """

    gpus: tuple[VisibleGpu, ...]
    room: int = 1

    @property
    def share_bytes(self) -> int:
        """Memory of one worker on each of its GPUs."""
        return int(_SHARE * min(gpu.memory_bytes for gpu in self.gpus) / self.room)

    def make_environment(self) -> dict[str, str]:
        """Return the variables that a worker's process needs before its backend starts."""
        names = ",".join(gpu.name for gpu in self.gpus)
        # JAX's limit of one process; TensorFlow grows, and takes what its trials need.
        return {VARIABLE: names, "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{_SHARE / self.room:.3f}"}


class GpuPlaces:
    """Places of an engine's workers.

    Args:
        places: at least one.
        unused: visible GPUs that are too few for a further worker.
        is_chosen: whether the study file sets how many GPUs a worker has.
    """

    def __init__(self, places: Sequence[Place], unused: int = 0, *, is_chosen: bool = False) -> None:
        self.places = tuple(places)
        self._unused = unused
        self._is_chosen = is_chosen
        self._reason = ""
        self._job = "trial"

    @property
    def is_chosen(self) -> bool:
        """Whether the study file sets how many GPUs a worker has."""
        return self._is_chosen

    @property
    def room(self) -> int:
        """Number of workers that run at once."""
        return sum(place.room for place in self.places)

    @property
    def share_bytes(self) -> int:
        """Memory that a worker has on each of its GPUs, wherever it runs."""
        return min(place.share_bytes for place in self.places)

    def share(self, trial_bytes: int, cores: int) -> None:
        """Set how many trials run on a GPU at once, by the predicted memory of the largest one.

        Args:
            trial_bytes: the prediction; 0 where it is unknown.
            cores: of this machine; each trial keeps one busy.
        """
        if not trial_bytes:
            return
        needed = int(_SLACK * trial_bytes) + _OVERHEAD_BYTES
        if self._is_chosen:
            if needed > (share_bytes := self.share_bytes):
                takes, has = _format(needed), _format(share_bytes)
                self._reason = f"the largest model takes about {takes}, and a worker has {has}"
            return
        most = max(1, min(_MOST_SHARING, cores // len(self.places)))
        for place in self.places:
            place.room = max(1, min(most, int(_SHARE * place.gpus[0].memory_bytes) // needed))
        least_bytes = min(place.gpus[0].memory_bytes for place in self.places)
        self._reason = f"the largest model takes about {_format(needed)} of {_format(least_bytes)}"

    def explain(self, reason: str) -> None:
        """Set a reason that the line of the layout ends with."""
        self._reason = reason

    def expect_fleets(self) -> None:
        """State that a job is a fleet, which trains many trials."""
        self._job = "fleet"

    def reduce(self, index: int) -> str:
        """Run one worker less in a place that ran out of memory, and return that in words; empty where one is left."""
        place = self.places[index]
        if place.room == 1:
            return ""
        place.room -= 1
        names = ", ".join(gpu.name for gpu in place.gpus)
        return f"GPU {names} takes {_count(place.room, self._job)} at a time from now on; {_KEY} sets that"

    def describe_gpus(self) -> str:
        """Return the number and the models of the GPUs."""
        gpus = [gpu for place in self.places for gpu in place.gpus]
        models = ", ".join(dict.fromkeys(gpu.model for gpu in gpus if gpu.model))
        return f"{_count(len(gpus) + self._unused, 'GPU')}{f' ({models})' if models else ''}"

    def describe(self) -> str:
        """Return the GPUs and the layout of the workers in a line."""
        each, rooms = len(self.places[0].gpus), {place.room for place in self.places}
        laid = f"{each} for each worker" if each > 1 else f"{_join_counts(rooms, self._job)} on each"
        unused = f", {self._unused} left over" if self._unused else ""
        reason = f", {self._reason}" if self._reason else ""
        return f"{self.describe_gpus()}: {laid}{unused}{reason} ({_KEY})"


@dataclass(frozen=True)
class GpuChoice:
    """What a study's workers get of this machine's GPUs.

    Attributes:
        places: where they run; None on the CPU.
        hides: whether the GPUs that there are must be hidden from them.
        text: why they get none, in a line; empty where there is none to get.
    """

    places: GpuPlaces | None = None
    hides: bool = False
    text: str = ""


def choose_gpus(
    gpus_per_worker: float | None,
    source: GpuSource | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    devices: Literal["all"] | int = 1,
) -> GpuChoice:
    """Return the places of a study's workers on the visible GPUs.

    Args:
        gpus_per_worker: `resources.gpus`; None gives each worker those that a trial trains on.
        source: the GPUs of the machine; NVIDIA's library by default.
        environ: the environment that hides some of them.
        devices: `resources.devices`, those that a trial trains on.

    Raises:
        InputError: if there are fewer GPUs than one worker is to have.
    """
    gpus = list_visible_gpus((source or NvmlSource()).list_gpus(), environ)
    if gpus_per_worker == 0:
        text = f"{_count(len(gpus), 'GPU')} found, none is used: {_KEY} is 0" if gpus else ""
        return GpuChoice(hides=bool(gpus), text=text)
    if gpus_per_worker is None and not gpus:
        return GpuChoice()
    is_derived = gpus_per_worker is None and devices != 1
    key = "resources.devices" if is_derived else _KEY
    if is_derived:
        gpus_per_worker = len(gpus) if devices == "all" else int(devices)
    each = max(1, int(gpus_per_worker or 1))
    if len(gpus) < each:
        raise InputError(Problem(_explain_too_few(each, gpus, environ, is_derived=is_derived), key))
    if each > 1 and any(gpu.is_slice for gpu in gpus):
        raise InputError(Problem(f"CUDA gives a process one slice of a GPU (MIG), got {each}; write 1", key))
    room = int(1 / gpus_per_worker) if gpus_per_worker is not None and gpus_per_worker < 1 else 1
    whole = len(gpus) - len(gpus) % each
    places = [Place(gpus[start : start + each], room) for start in range(0, whole, each)]
    return GpuChoice(GpuPlaces(places, len(gpus) % each, is_chosen=gpus_per_worker is not None))


def make_cpu_environment() -> dict[str, str]:
    """Return the variables that hide every GPU from a worker's process."""
    return {VARIABLE: NO_GPU, "JAX_PLATFORMS": "cpu"}


def _explain_too_few(each: int, gpus: Sequence[VisibleGpu], environ: Mapping[str, str], *, is_derived: bool) -> str:
    has = _count(len(gpus), "GPU") if gpus else "none"
    hidden = f", where {VARIABLE} is {environ[VARIABLE]!r}" if VARIABLE in environ else ""
    advice = f"write {len(gpus)}, or set {_KEY}: 0 to divide the CPU" if is_derived else "write 0 for the CPU"
    return f"expected {_count(each, 'GPU')} for each worker, got {has} on this machine{hidden}; {advice}"


def _join_counts(rooms: set[int], job: str) -> str:
    if len(rooms) == 1:
        return _count(next(iter(rooms)), job)
    return f"{min(rooms)} to {max(rooms)} {job}s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _format(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
