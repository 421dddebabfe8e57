"""Settings of what is kept for the next command: how long, and how much memory it may hold."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from search_spaces.errors import InputError, Problem

SECONDS = "KERASTUDY_WARM_SECONDS"
MEGABYTES = "KERASTUDY_WARM_MB"

_KEPT_S = 600  # chosen: a person looks at a study's results and starts the next one
_SHARE_OF_MEMORY = 0.1  # chosen; the servers hold less than half a gigabyte together
_LONGEST_S = 7 * 86_400
_MOST_MB = 10**7


@dataclass(frozen=True)
class WarmSettings:
    """Limits of kept processes.

    Attributes:
        kept_s: how long they stay after their last use.
        memory_bytes: most memory that all of them may hold.
    """

    kept_s: int
    memory_bytes: int


def read_warm_settings(environ: Mapping[str, str]) -> WarmSettings | None:
    """Return the settings in the environment; None where nothing is to be kept.

    Raises:
        InputError: if a variable holds no whole number.
    """
    kept_s = _read_number(environ, SECONDS, _KEPT_S, _LONGEST_S)
    megabytes = _read_number(environ, MEGABYTES, None, _MOST_MB)
    # What a process takes over from another one is read from /proc.
    if not kept_s or megabytes == 0 or not sys.platform.startswith("linux"):
        return None
    share = int(psutil.virtual_memory().total * _SHARE_OF_MEMORY)
    return WarmSettings(kept_s, share if megabytes is None else megabytes * 10**6)


def _read_number(environ: Mapping[str, str], name: str, default: int | None, most: int) -> int | None:
    if not (text := environ.get(name, "").strip()):
        return default
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        expected = f"expected a whole number from 0 to {most:,}, 0 keeps nothing"
        raise InputError(Problem(f"the variable {name}: {expected}; got {text[:40]!r}"))
    return int(text)
