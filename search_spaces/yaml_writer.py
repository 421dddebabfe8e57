"""Writer of YAML that readers of YAML 1.1 and 1.2 understand alike."""

from __future__ import annotations

import math
import re
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_#/ -]+")


def to_yaml(data: object) -> str:
    """Return plain data as YAML; `parse_document` reads the same data from it."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it as None
    writer.width = 120
    writer.allow_unicode = True
    # ruamel writes an alias for an object that occurs twice, and the reader refuses aliases.
    writer.representer.ignore_aliases = lambda _: True
    writer.representer.add_representer(float, _represent_float)
    writer.representer.add_representer(str, _represent_text)
    stream = StringIO()
    writer.dump(data, stream)
    return stream.getvalue()


def _represent_float(representer: Any, value: float) -> Any:
    """Write a float so that every reader reads a float: without a point, `1e-05` is text to YAML 1.1."""
    if math.isfinite(value):
        mantissa, exponent, power = repr(value).partition("e")
        text = f"{mantissa}{'' if '.' in mantissa else '.0'}{exponent}{power}"
        return representer.represent_scalar("tag:yaml.org,2002:float", text)
    text = ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


def _represent_text(representer: Any, value: str) -> Any:
    """Write text without quotes only where no reader could read another type."""
    simple = _PLAIN_KEY.fullmatch(value) and value[0].isalpha() and value == value.strip() and " #" not in value
    wordy = simple and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    style = None if wordy else '"'
    return representer.represent_scalar("tag:yaml.org,2002:str", value, style=style)
