"""GPUs that CUDA shows to a process: the rules of the variable `CUDA_VISIBLE_DEVICES`.

Unset, all are visible. Else it lists them by index, by UUID or by the name of a slice, and ends at the first entry that
is none: `-1`, an empty value and a word such as `NoDevFiles` show no GPU. The same GPU twice shows none either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.engines.gpus.source import Gpu

VARIABLE = "CUDA_VISIBLE_DEVICES"
NO_GPU = "-1"

_INDEX = re.compile(r"\+?(\d+)")  # CUDA reads the digits at the beginning: `1gpu` is 1


@dataclass(frozen=True)
class VisibleGpu:
    """A GPU that workers may use.

    Attributes:
        name: its name in `CUDA_VISIBLE_DEVICES` of a worker.
        model: its model; empty where that is not certain.
        memory_bytes: its memory; the least that it may have where that is not certain.
        is_slice: whether it is a slice, of which CUDA gives a process one alone.
    """

    name: str
    model: str
    memory_bytes: int
    is_slice: bool = False


def list_visible_gpus(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> tuple[VisibleGpu, ...]:
    """Return the GPUs that a process with this environment sees, in its order."""
    value = environ.get(VARIABLE)
    if value is None:
        return tuple(_name(gpu, gpu.uuid) for gpu in gpus)
    found: dict[Gpu, VisibleGpu] = {}
    for entry in map(str.strip, value.split(",")):
        gpu = _find(gpus, entry)
        if gpu is None:
            break
        if gpu in found:
            return ()
        number = _INDEX.match(entry)
        by_index = number is not None and not gpu.whole
        found[gpu] = _name_index(gpu, gpus, environ) if by_index else _name(gpu, gpu.uuid)
    return tuple(found.values())


def _find(gpus: Sequence[Gpu], entry: str) -> Gpu | None:
    """Return the GPU of an entry; None where it names none. Of a divided GPU, CUDA shows the first slice."""
    if (number := _INDEX.match(entry)) is not None:
        named = [gpu for gpu in gpus if gpu.index == int(number[1])]
    elif entry.startswith("GPU-"):
        named = [gpu for gpu in gpus if (gpu.whole or gpu.uuid).startswith(entry)]
        if len({gpu.whole or gpu.uuid for gpu in named}) > 1:  # the beginning of a UUID must be that of one GPU
            return None
    elif entry.startswith("MIG-"):
        named = [gpu for gpu in gpus if gpu.whole and entry in (gpu.uuid, _name_by_instances(gpu))]
    else:
        return None
    return named[0] if named else None


def _name_by_instances(gpu: Gpu) -> str:
    """Return the name of a slice for older drivers."""
    return f"MIG-{gpu.whole}/{'/'.join(map(str, gpu.instance or ()))}"


def _name_index(gpu: Gpu, gpus: Sequence[Gpu], environ: Mapping[str, str]) -> VisibleGpu:
    are_alike = len({(other.model, other.memory_bytes) for other in gpus}) == 1
    if are_alike or environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return _name(gpu, str(gpu.index))
    # CUDA counts the fastest one first, and only CUDA knows which one that is: its own index stays its name.
    return VisibleGpu(str(gpu.index), "", min(other.memory_bytes for other in gpus))


def _name(gpu: Gpu, name: str) -> VisibleGpu:
    return VisibleGpu(name, gpu.model, gpu.memory_bytes, is_slice=bool(gpu.whole))
