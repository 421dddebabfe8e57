"""Number that is known only when a program runs, where Keras's code expects a Python number."""

from __future__ import annotations

from typing import Any


class TracedNumber:
    """Wrapper of a traced value that compares as a number above zero, since a traced value cannot be compared.

    Keras compares (`if momentum != 0`, `if label_smoothing`) to leave out work that changes nothing.
    """

    __hash__ = None  # type: ignore[assignment]  # like any mutable number

    def __init__(self, value: Any) -> None:
        self.value = value

    def __jax_array__(self) -> Any:
        return self.value

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True

    def __add__(self, other: Any) -> Any:
        return self.value + other

    def __radd__(self, other: Any) -> Any:
        return other + self.value

    def __sub__(self, other: Any) -> Any:
        return self.value - other

    def __rsub__(self, other: Any) -> Any:
        return other - self.value

    def __mul__(self, other: Any) -> Any:
        return self.value * other

    def __rmul__(self, other: Any) -> Any:
        return other * self.value

    def __truediv__(self, other: Any) -> Any:
        return self.value / other

    def __neg__(self) -> Any:
        return -self.value
