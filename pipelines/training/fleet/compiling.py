"""Compilation of a fleet's functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

_FOR_A_FEW_CALLS = {"xla_cpu_use_fusion_emitters": False}
"""Options that save a third of a second of compiling for a CPU. Loops then take up to half as long again."""


def compile_function(
    function: Callable[..., Any], donated: tuple[int, ...], *, called_seldom: bool = False
) -> Callable[..., Any]:
    """Return a function that is compiled at its first call; it may overwrite its donated arguments."""
    options = _select_known(_FOR_A_FEW_CALLS) if called_seldom and jax.default_backend() == "cpu" else {}
    done: Callable[..., Any] = jax.jit(function, donate_argnums=donated, compiler_options=options)
    return done


def _select_known(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that this release of JAX accepts: XLA adds and removes them."""
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: Any) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
    except Exception as error:  # its class has moved between releases
        if "No such compile option" in str(error):
            return False
        raise
    return True
