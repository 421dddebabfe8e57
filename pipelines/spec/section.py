"""The base class of a study file's sections, and the names that they hold."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from search_spaces.values import describe

_ALIAS = re.compile(r"^[A-Za-z0-9_-]{1,100}$")
# MLflow takes these aliases for versions, in any case.
_VERSION = re.compile(r"latest|v\d+", re.IGNORECASE)

NAME_MEANS = "a name of up to 100 letters, digits, dots, dashes and underscores that begins with a letter or digit"
"""Description of `Name` for error messages."""


def parse_alias(written: object) -> str:
    """Return an alias of a registered model.

    Raises:
        ValueError: if MLflow refuses it: `latest` and `v1` are versions there.
    """
    if isinstance(written, str) and _ALIAS.fullmatch(written) and not _VERSION.fullmatch(written):
        return written
    raise ValueError(
        "expected an alias of up to 100 letters, digits, dashes and underscores, neither latest nor a version such as "
        f"v1, got {describe(written)}"
    )


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Alias = Annotated[
    str, BeforeValidator(parse_alias, json_schema_input_type=Annotated[str, Field(pattern=_ALIAS.pattern)])
]


class Section(BaseModel):
    """A part of a study file: immutable, strict about types, and with no unknown keys."""

    # Strict, since pydantic would turn "3" into 3 and 1 into true.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
