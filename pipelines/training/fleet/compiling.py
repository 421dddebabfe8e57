"""How a fleet's functions are compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

_FOR_A_FEW_CALLS = {"xla_cpu_use_fusion_emitters": False}
"""What saves a third of a second of compiling for a CPU. The loops then take up to half as long again."""


def compile_function(
    function: Callable[..., Any], donated: tuple[int, ...], *, called_seldom: bool = False
) -> Callable[..., Any]:
    """Return a function compiled at its first call; it may overwrite its donated arguments."""
    options = _known(_FOR_A_FEW_CALLS) if called_seldom and jax.default_backend() == "cpu" else {}
    done: Callable[..., Any] = jax.jit(function, donate_argnums=donated, compiler_options=options)
    return done


def _known(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that this release of JAX knows: they are XLA's own, and come and go."""
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: Any) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
    except Exception as error:  # its class has changed places between releases
        if "No such compile option" in str(error):
            return False
        raise
    return True
