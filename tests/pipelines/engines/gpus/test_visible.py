"""Visible GPUs: every form of CUDA_VISIBLE_DEVICES, read as CUDA reads it."""

from __future__ import annotations

import pytest
from fake_gpus import make_gpus, make_slices

from pipelines.engines.gpus.source import Gpu
from pipelines.engines.gpus.visible import list_visible_gpus

FOUR = make_gpus(4)
MIXED = (*make_gpus(1), Gpu(1, "GPU-slow", "NVIDIA T4", 16 * 10**9))
DIVIDED = (*make_slices(0, 2), Gpu(1, "GPU-b1", "NVIDIA H100", 80 * 10**9))


def names(gpus, value, **environ):
    if value is not None:
        environ["CUDA_VISIBLE_DEVICES"] = value
    return [gpu.name for gpu in list_visible_gpus(gpus, environ)]


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        (None, ["GPU-a0", "GPU-b1", "GPU-c2", "GPU-d3"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2", ["2"]),
        ("3,0", ["3", "0"]),
        (" 1 , 2 ", ["1", "2"]),
        ("1gpu,2b", ["1", "2"]),
        ("+1", ["1"]),
        ("0,9,1", ["0"]),
        ("0,-1,1", ["0"]),
        ("0,,1", ["0"]),
        ("1,1", []),
        ("0,1,0", []),
        ("GPU-c2,GPU-a0", ["GPU-c2", "GPU-a0"]),
        ("GPU-c", ["GPU-c2"]),
        ("GPU-", []),
        ("GPU-a0,GPU-none,GPU-b1", ["GPU-a0"]),
        ("0,GPU-a0", []),
        ("MIG-0-0", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(value, visible):
    """Indices, UUIDs and their beginnings in the order written, up to the first entry that names no GPU."""
    assert names(FOUR, value) == visible


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        (None, ["MIG-0-0", "MIG-0-1", "GPU-b1"]),
        ("0", ["MIG-0-0"]),
        ("1", ["1"]),
        ("MIG-0-1", ["MIG-0-1"]),
        ("MIG-0-1,MIG-0-0", ["MIG-0-1", "MIG-0-0"]),
        ("MIG-GPU-whole0/2/0", ["MIG-0-1"]),
        ("MIG-GPU-whole0/7/0", []),
        ("MIG-0", []),
        ("GPU-whole0", ["MIG-0-0"]),
    ],
)
def test_a_divided_gpu_is_its_slices(value, visible):
    """A GPU that MIG divides has no name of its own: workers get its slices, and CUDA the first of them."""
    assert names(DIVIDED, value, CUDA_DEVICE_ORDER="PCI_BUS_ID") == visible


def test_an_index_among_unlike_gpus_promises_the_least_memory():
    """CUDA counts the fastest GPU first, NVML by PCI: unless the order is set, an index may be either of them."""
    [unsure] = list_visible_gpus(MIXED, {"CUDA_VISIBLE_DEVICES": "0"})
    assert (unsure.name, unsure.model, unsure.memory_bytes) == ("0", "", 16 * 10**9)
    [sure] = list_visible_gpus(MIXED, {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    assert (sure.model, sure.memory_bytes) == ("NVIDIA A100-SXM4-80GB", 80 * 10**9)
