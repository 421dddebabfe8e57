"""Digest of a Python object: equal in every process for equal code and equal values.

Pickles are not: they hold line numbers, file names and whatever strings happen to be shared. Here a function is its
bytecode, its constants and what it captures; an object is what it is pickled from. A comment or a moved line changes
nothing, a changed global that the code uses does. Bytecode differs between minor versions of Python.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
import numpy as np

from pipelines.objects.captured import is_user_code, list_captured, list_members

_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
_NUMBERED = re.compile(r"_\d+$")


def digest_object(value: Any) -> str:
    """Return the digest of an object.

    Raises:
        Exception: of any type, if it holds what cannot be pickled.
    """
    return _Digester().digest(value).hex()[:32]


class _Digester:
    """Digests of objects that may hold each other."""

    def __init__(self) -> None:
        self._done: dict[int, bytes] = {}
        # Objects made on the way live as long as their numbers are used.
        self._alive: list[Any] = []
        self._open: list[int] = []

    def digest(self, value: Any) -> bytes:
        """Return the digest of a value."""
        if isinstance(value, _ATOMS) and type(value) in _ATOMS:
            content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else repr(value).encode()
            return _hash(type(value).__name__.encode(), content)
        number = id(value)
        if number in self._done:
            return self._done[number]
        if number in self._open:  # it holds itself: two functions that call each other
            return _hash(b"above", str(len(self._open) - self._open.index(number)).encode())
        self._open.append(number)
        self._alive.append(value)
        try:
            self._done[number] = self._digest_new(value)
        finally:
            self._open.pop()
        return self._done[number]

    def _digest_new(self, value: Any) -> bytes:
        if isinstance(value, CodeType):
            return self._digest_code(value)
        if isinstance(value, FunctionType | type | ModuleType):
            return self._digest_definition(value)
        if type(value) in (list, tuple):
            return _hash(type(value).__name__.encode(), *map(self.digest, value))
        if type(value) in (set, frozenset):
            # Their order differs between processes.
            return _hash(type(value).__name__.encode(), *sorted(map(self.digest, value)))
        if type(value) is dict:
            return self._digest_named(b"dict", value.items())
        if isinstance(value, np.ndarray) and value.dtype.kind != "O":
            content = hashlib.sha256(np.ascontiguousarray(value).data).digest()
            return _hash(b"array", f"{value.dtype.str} {value.shape}".encode(), content)
        if isinstance(value, staticmethod | classmethod):
            return _hash(type(value).__name__.encode(), self.digest(value.__func__))
        if isinstance(value, property):
            return _hash(b"property", *(self.digest(each) for each in (value.fget, value.fset, value.fdel)))
        return self._digest_keras(value) if _is_keras_object(value) else self._digest_reduced(value)

    def _digest_definition(self, value: FunctionType | type | ModuleType) -> bytes:
        if not is_user_code(value):
            module = "" if isinstance(value, ModuleType) else str(value.__module__)
            return _hash(b"installed", module.encode(), getattr(value, "__qualname__", value.__name__).encode())
        name = value.__name__.encode()
        if isinstance(value, FunctionType):
            captured = {**list_captured(value), **vars(value)}
            return _hash(b"function", name, self.digest(value.__code__), self._digest_named(b"", captured.items()))
        bases = map(self.digest, value.__bases__) if isinstance(value, type) else ()
        members = self._digest_named(b"", list_members(value).items())
        return _hash(b"class" if isinstance(value, type) else b"module", name, *bases, members)

    def _digest_code(self, code: CodeType) -> bytes:
        names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        numbers = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        parts = (code.co_code, code.co_exceptiontable, names, numbers, code.co_consts)
        return _hash(b"code", *map(self.digest, parts))

    def _digest_named(self, kind: bytes, items: Iterable[tuple[Any, Any]]) -> bytes:
        return _hash(kind, *(self.digest(each) for pair in items for each in pair))

    def _digest_reduced(self, value: Any) -> bytes:
        """Return the digest of what a value is pickled from."""
        if np.isscalar(value) and isinstance(value, np.generic):
            return _hash(b"scalar", value.dtype.str.encode(), value.tobytes())
        reducer = cloudpickle.Pickler.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(4) if reducer is None else reducer(value)
        if isinstance(reduced, str):
            return _hash(b"global", str(getattr(value, "__module__", "")).encode(), reduced.encode())
        # Lists and dicts give their content as iterators.
        parts = [each if index < 3 or each is None else list(each) for index, each in enumerate(reduced[:5])]
        return _hash(b"object", *map(self.digest, parts))

    def _digest_keras(self, value: Any) -> bytes:
        """Return the digest of a layer, model, initializer or other object of Keras.

        Its pickle may be a file with the time of writing, its name counts the objects made before it, and an
        initializer draws its seed.
        """
        try:
            config = value.get_config()
        except NotImplementedError:  # a class without `get_config` of its own
            config = None
        weights = value.get_weights() if hasattr(value, "get_weights") else []
        # Of losses and metrics; Huber's config leaves `delta` out.
        arguments = getattr(value, "_fn_kwargs", None)
        return _hash(b"keras", *map(self.digest, (type(value), _drop_numbers(config), weights, arguments)))


def _hash(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        # With lengths: other parts must not give the same text.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _is_keras_object(value: Any) -> bool:
    # By the names of modules: importing Keras takes seconds, and code that has such an object has imported it.
    return hasattr(value, "get_config") and any(
        base.__module__.partition(".")[0] == "keras" for base in type(value).__mro__
    )


def _drop_numbers(config: Any) -> Any:
    """Return a config without the numbers that Keras appends to the names of objects."""
    if isinstance(config, Mapping):
        return {key: _drop_numbers(each) for key, each in config.items()}
    if isinstance(config, list | tuple):
        return [_drop_numbers(each) for each in config]
    return _NUMBERED.sub("", config) if isinstance(config, str) else config
