"""Seeds derived from other numbers."""

from __future__ import annotations

import hashlib


def mix_seed(*parts: int) -> int:
    """Return a seed of 32 bits that depends on each of some numbers."""
    # A hash, so that neighbours have unrelated seeds.
    return int.from_bytes(hashlib.sha256(":".join(map(str, parts)).encode()).digest()[:4], "big")
