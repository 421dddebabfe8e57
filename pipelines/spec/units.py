"""Durations and sizes of a study file: their types, how they are parsed and how they are printed."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from search_spaces.values import describe

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)", re.IGNORECASE)
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# What the operating system's timers and limits take without overflowing, and no study needs.
_LONGEST_S = 10_000 * 86_400
_LARGEST_BYTES = 10**18


def parse_seconds(written: object) -> float:
    """Return the seconds in `90`, `"30s"`, `"5m"`, `"1h30m"` or `"2d"`.

    Raises:
        ValueError: if it is not a positive duration written in one of these ways.
    """
    if isinstance(written, (int, float)) and not isinstance(written, bool):
        seconds: float = written
    # All of the text must be numbers with units, in any order.
    elif isinstance(written, str) and _DURATION.sub("", written).strip() == "" and written.strip():
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(written))
    else:
        # 12:30 is a time of day to some readers and minutes to others.
        clock = _CLOCK.fullmatch(written) if isinstance(written, str) else None
        hint = f'; write "{clock[1]}h{clock[2]}m" or "{clock[1]}m{clock[2]}s"' if clock else ""
        raise ValueError(f'expected a duration such as 90, "30s", "5m" or "1h30m", got {describe(written)}{hint}')
    # "not >" and not "<=", so that NaN is refused too.
    if not seconds > 0:
        raise ValueError(f"expected a duration above zero, got {describe(written)}")
    if seconds > _LONGEST_S:
        raise ValueError(f"expected a duration of at most {_LONGEST_S // 86_400} days, got {describe(written)}")
    return float(seconds)


def parse_bytes(written: object) -> int:
    """Return the bytes in `4000000000`, `"512MB"` or `"4GB"` (powers of ten).

    Raises:
        ValueError: if it is not a positive size written in one of these ways.
    """
    # Whole numbers; NaN and infinity do not equal their floor division.
    if isinstance(written, (int, float)) and not isinstance(written, bool) and written == written // 1:
        size = written
    elif isinstance(written, str) and (found := _SIZE.fullmatch(written.strip())):
        size = float(found[1]) * _BYTES[found[2].upper()]
    else:
        raise ValueError(f'expected a size such as "512MB" or "4GB", got {describe(written)}')
    if size < 1:
        raise ValueError(f"expected a size above zero, got {describe(written)}")
    if size > _LARGEST_BYTES:
        raise ValueError(f"expected a size of at most {_LARGEST_BYTES // 10**12} TB, got {describe(written)}")
    return int(size)


def format_bytes(size: int) -> str:
    """Return a size in bytes as text with a unit, in powers of ten.

    >>> format_bytes(512_300_000)
    '512.3 MB'
    """
    unit, factor = max(
        ((unit, factor) for unit, factor in _BYTES.items() if factor <= max(size, 1)), key=lambda u: u[1]
    )
    return f"{size / factor:.4g} {unit}"


_DURATION_TEXT = Annotated[str, Field(pattern=r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$")]
_SIZE_TEXT = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?[Bb]\s*$")]
Seconds = Annotated[
    float,
    BeforeValidator(
        parse_seconds, json_schema_input_type=Annotated[float, Field(gt=0, le=_LONGEST_S)] | _DURATION_TEXT
    ),
]
Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes, json_schema_input_type=Annotated[int, Field(ge=1, le=_LARGEST_BYTES)] | _SIZE_TEXT),
]
