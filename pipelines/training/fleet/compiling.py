"""How a fleet's functions are compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

_FOR_CPUS = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}
"""What shortens compiling for a CPU by a third. Matrix products come from a library, so that the programs run as fast;
without any optimisation they take five times as long."""

_FOR_A_FEW_CALLS = {"xla_cpu_use_fusion_emitters": False}
"""What saves another third of a second for each function. Its loops then take up to half as long again."""


def compiled(
    function: Callable[..., Any], donated: tuple[int, ...], *, called_seldom: bool = False
) -> Callable[..., Any]:
    """Return a function compiled at its first call; it may overwrite its donated arguments."""
    options = _options(called_seldom=called_seldom)
    done: Callable[..., Any] = jax.jit(function, donate_argnums=donated, compiler_options=options)
    return done


def _options(*, called_seldom: bool) -> dict[str, Any]:
    """Return the options that this release of JAX knows: they are XLA's own, and come and go."""
    if jax.default_backend() != "cpu":
        return {}
    options = _FOR_CPUS | (_FOR_A_FEW_CALLS if called_seldom else {})
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
