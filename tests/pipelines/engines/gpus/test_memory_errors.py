"""Errors of memory: each framework's, on a CPU and on a GPU, and those that user code raises from them."""

from __future__ import annotations

import pytest

from pipelines.engines.gpus.memory_errors import is_out_of_gpu_memory, is_out_of_memory


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


class InternalError(Exception):
    """Named as TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "is_any", "is_gpu"),
    [
        (MemoryError("host"), True, False),
        (ResourceExhaustedError("OOM when allocating tensor ... by allocator GPU_0_bfc"), True, True),
        (ResourceExhaustedError("OOM when allocating tensor ... by allocator cpu"), True, False),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes."), True, True),
        (InternalError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True, True),
        (InternalError("failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED"), True, True),
        (ValueError("out of memory, says a person"), False, False),
    ],
)
def test_a_lack_of_memory_is_known_by_its_error(error, is_any, is_gpu):
    """A lack of a GPU's memory is one that names no allocator of the CPU."""
    assert (is_out_of_memory(error), is_out_of_gpu_memory(error)) == (is_any, is_gpu)


def test_the_cause_of_an_error_counts():
    """An error of user code that was raised from a lack of memory is one."""
    outer = RuntimeError("model.py line 3")
    outer.__cause__ = InternalError("CUDNN_STATUS_ALLOC_FAILED")
    assert is_out_of_gpu_memory(outer)
