"""FarmHash's `Fingerprint64` of strings, by which Keras's `Hashing` chooses a code.

Written after its description in https://github.com/google/farmhash (src/farmhash.cc, namespace farmhashna), which
promises that its values never change. A column is hashed where it has more than 2,000 categories.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipelines.data.array_types import Array

_MASK = 2**64 - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def choose_codes(words: Iterable[str], codes: int) -> Array:
    """Return the code of each word, int64: 0 for "", else from 1 on and below `codes`."""
    found = [hash_bytes(word.encode()) % (codes - 1) + 1 if word else 0 for word in words]
    return np.array(found, dtype=np.int64)


def hash_bytes(text: bytes) -> int:
    """Return the fingerprint of some bytes, an unsigned number of 64 bits."""
    size = len(text)
    if size <= 16:
        return _hash_tiny(text, size)
    if size <= 32:
        return _hash_short(text, size)
    return _hash_medium(text, size) if size <= 64 else _hash_long(text, size)


def _read(text: bytes, at: int, width: int = 8) -> int:
    return int.from_bytes(text[at : at + width], "little")


def _rotate(bits: int, by: int) -> int:
    return (bits >> by | bits << (64 - by)) & _MASK


def _fold(bits: int) -> int:
    return bits ^ bits >> 47


def _mix(one: int, other: int, factor: int) -> int:
    first = _fold((one ^ other) * factor & _MASK)
    return _fold((other ^ first) * factor & _MASK) * factor & _MASK


def _hash_tiny(text: bytes, size: int) -> int:
    factor = _K2 + 2 * size & _MASK
    if size >= 8:
        head, tail = _read(text, 0) + _K2 & _MASK, _read(text, size - 8)
        one = _rotate(tail, 37) * factor + head & _MASK
        return _mix(one, (_rotate(head, 25) + tail) * factor & _MASK, factor)
    if size >= 4:
        return _mix(size + (_read(text, 0, 4) << 3) & _MASK, _read(text, size - 4, 4), factor)
    if size:
        low = text[0] + (text[size >> 1] << 8)
        high = size + (text[-1] << 2)
        return _fold((low * _K2 ^ high * _K0) & _MASK) * _K2 & _MASK
    return _K2


def _hash_short(text: bytes, size: int) -> int:
    factor = _K2 + 2 * size & _MASK
    a, b = _read(text, 0) * _K1 & _MASK, _read(text, 8)
    c, d = _read(text, size - 8) * factor & _MASK, _read(text, size - 16) * _K2 & _MASK
    one = _rotate(a + b & _MASK, 43) + _rotate(c, 30) + d & _MASK
    return _mix(one, a + _rotate(b + _K2 & _MASK, 18) + c & _MASK, factor)


def _hash_medium(text: bytes, size: int) -> int:
    factor = _K2 + 2 * size & _MASK
    a, b = _read(text, 0) * _K2 & _MASK, _read(text, 8)
    c, d = _read(text, size - 8) * factor & _MASK, _read(text, size - 16) * _K2 & _MASK
    y = _rotate(a + b & _MASK, 43) + _rotate(c, 30) + d & _MASK
    z = _mix(y, a + _rotate(b + _K2 & _MASK, 18) + c & _MASK, factor)
    e, f = _read(text, 16) * factor & _MASK, _read(text, 24)
    g = (y + _read(text, size - 32)) * factor & _MASK
    h = (z + _read(text, size - 24)) * factor & _MASK
    one = _rotate(e + f & _MASK, 43) + _rotate(g, 30) + h & _MASK
    return _mix(one, e + _rotate(f + a & _MASK, 18) + g & _MASK, factor)


def _absorb(text: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    """Return two numbers of 64 bits from 32 bytes and two others."""
    w, x, y, z = (_read(text, at + 8 * place) for place in range(4))
    a = a + w & _MASK
    b = _rotate(b + a + z & _MASK, 21)
    total = a + x + y & _MASK
    return total + z & _MASK, b + _rotate(total, 44) + a & _MASK


def _hash_long(text: bytes, size: int) -> int:
    x, y = 81, 81 * _K1 + 113 & _MASK
    z = _fold(y * _K2 + 113 & _MASK) * _K2 & _MASK
    v, w = (0, 0), (0, 0)
    x = x * _K2 + _read(text, 0) & _MASK
    for at in range(0, (size - 1) // 64 * 64, 64):
        x = _rotate(x + y + v[0] + _read(text, at + 8) & _MASK, 37) * _K1 & _MASK
        y = _rotate(y + v[1] + _read(text, at + 48) & _MASK, 42) * _K1 & _MASK
        x ^= w[1]
        y = y + v[0] + _read(text, at + 40) & _MASK
        z = _rotate(z + w[0] & _MASK, 33) * _K1 & _MASK
        v = _absorb(text, at, v[1] * _K1 & _MASK, x + w[0] & _MASK)
        w = _absorb(text, at + 32, z + w[1] & _MASK, y + _read(text, at + 16) & _MASK)
        x, z = z, x
    factor, last = _K1 + ((z & 0xFF) << 1) & _MASK, size - 64
    w = (w[0] + (size - 1 & 63) & _MASK, w[1])
    v = (v[0] + w[0] & _MASK, v[1])
    w = (w[0] + v[0] & _MASK, w[1])
    x = _rotate(x + y + v[0] + _read(text, last + 8) & _MASK, 37) * factor & _MASK
    y = _rotate(y + v[1] + _read(text, last + 48) & _MASK, 42) * factor & _MASK
    x ^= w[1] * 9 & _MASK
    y = y + v[0] * 9 + _read(text, last + 40) & _MASK
    z = _rotate(z + w[0] & _MASK, 33) * factor & _MASK
    v = _absorb(text, last, v[1] * factor & _MASK, x + w[0] & _MASK)
    w = _absorb(text, last + 32, z + w[1] & _MASK, y + _read(text, last + 16) & _MASK)
    x, z = z, x
    one = _mix(v[0], w[0], factor) + _fold(y) * _K0 + z & _MASK
    return _mix(one, _mix(v[1], w[1], factor) + x & _MASK, factor)
