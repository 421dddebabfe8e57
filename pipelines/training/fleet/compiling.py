"""Compilation of a fleet's functions, each once for all studies of a process and, on a CPU, of a home."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from pipelines.training.fleet.stored_programs import (
    compile_anew,
    find_program,
    store_program,
    try_stored,
    wait_for_others,
)

_FOR_A_FEW_CALLS = {"xla_cpu_use_fusion_emitters": False}
"""Options that save a third of a second of compiling for a CPU. Loops then take up to half as long again."""

_EAGER = "jax_disable_jit"
_MOST_PROGRAMS = 16  # chosen: two for each of the programs that a worker keeps, and as many of other studies
_programs: dict[tuple[Hashable, ...], Callable[..., Any]] = {}
"""Compiled programs of this process, the first used first, by everything that they are made from."""

_begun: dict[tuple[Hashable, ...], Future[Any]] = {}
"""Programs that a thread compiles, which leaves the interpreter to others for most of its time."""

_compiler = ThreadPoolExecutor(1, "compiler")


class CompiledFunction:
    """A function that is compiled at its first call with arguments of some shapes, unless that was done before.

    Args:
        function: pure, of arrays.
        donated: places of the arguments that it may overwrite.
        closes_over: everything else that its result follows from, as a text. Equal functions share their programs.
        called_seldom: whether to save time of compiling rather than of running.
    """

    def __init__(
        self, function: Callable[..., Any], donated: tuple[int, ...], closes_over: str, *, called_seldom: bool = False
    ) -> None:
        options = _select_known(_FOR_A_FEW_CALLS) if called_seldom and jax.default_backend() == "cpu" else {}
        self._made_from = (function.__qualname__, repr((donated, options)), closes_over)
        self._jitted: Any = jax.jit(function, donate_argnums=donated, compiler_options=options)

    def __call__(self, *arguments: Any) -> Any:
        """Return the function's result."""
        if getattr(jax.config, _EAGER):
            return self._jitted(*arguments)
        key = self._make_key(arguments)
        if (begun := _begun.pop(key, None)) is not None and (compiled := begun.result()) is not None:
            _keep(key, compiled)
        if (known := _programs.get(key)) is not None:
            return known(*arguments)
        file = find_program([str(part) for part in key])
        if file is None:
            return _keep(key, self._compile(arguments))(*arguments)
        if (stored := try_stored(file, arguments)) is None:
            with wait_for_others(file):
                if (stored := try_stored(file, arguments)) is None:
                    return _keep(key, self._compile_and_store(arguments, file))(*arguments)
        _keep(key, stored[0])
        return stored[1]

    def begin(self, *arguments: Any) -> None:
        """Begin to compile for a later call with arguments like these, in a thread, unless that was done before."""
        key = self._make_key(arguments)
        if getattr(jax.config, _EAGER) or key in _programs or key in _begun:
            return
        file = find_program([str(part) for part in key])
        if file is None or not file.exists():
            # Shapes alone: the arrays may be overwritten before the thread has read them.
            make_shape: Callable[[Any, Any], Any] = jax.ShapeDtypeStruct
            shapes = jax.tree.map(lambda leaf: make_shape(leaf.shape, leaf.dtype), arguments)
            _begun[key] = _compiler.submit(self._compile_alone, shapes, file)

    def _make_key(self, arguments: tuple[Any, ...]) -> tuple[Hashable, ...]:
        leaves, structure = jax.tree.flatten(arguments)
        return (*self._made_from, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))

    def _compile_alone(self, arguments: tuple[Any, ...], file: Path | None) -> Any:
        """Compile, unless another process does so too; return None where that has stored the program."""
        if file is None:
            return self._compile(arguments)
        with wait_for_others(file):
            return None if file.exists() else self._compile_and_store(arguments, file)

    def _compile_and_store(self, arguments: tuple[Any, ...], file: Path) -> Any:
        with compile_anew():
            compiled = self._compile(arguments)
        store_program(compiled, file)
        return compiled

    def _compile(self, arguments: tuple[Any, ...]) -> Any:
        return self._jitted.lower(*arguments).compile()


def _keep(key: tuple[Hashable, ...], compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a program for later calls; forget the one that was kept first where there are too many."""
    while len(_programs) >= _MOST_PROGRAMS:
        del _programs[next(iter(_programs))]
    _programs[key] = compiled
    return compiled


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
