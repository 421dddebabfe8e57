"""Errors that mean a lack of memory, by their types and texts: no framework has to be imported to name them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_OF_CUDA: Final = (
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
"""Texts of errors of CUDA and its libraries, which frameworks raise as internal errors."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a lack of memory, of the machine or of a GPU, caused an error."""
    return any(_is_of_memory(each) for each in _walk_causes(error))


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Return whether a GPU lacked memory: true for a framework's error that names no allocator of the CPU."""
    return any(
        _is_of_memory(each) and not isinstance(each, MemoryError) and "allocator cpu" not in str(each)
        for each in _walk_causes(error)
    )


def _is_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"  # TensorFlow's
        or str(error).startswith("RESOURCE_EXHAUSTED")  # XLA's
        or any(text in str(error) for text in _OF_CUDA)
    )


def _walk_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it was raised from: an error of user code names its line, and has the other below."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
