"""Fingerprint of a study: the digests of its definition, its space and its data.

The queue stores it as one text, `definition-space:data`; only this module takes that text apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

_TEXT: Final = re.compile(r"(?P<definition>[0-9a-f]+)-(?P<space>[0-9a-f]+):(?P<data>.*)")


@dataclass(frozen=True)
class StudyFingerprint:
    """Digests that decide whether two study files describe the same study.

    Attributes:
        definition: of the parts that never change in a study: data source, model and its code, objectives, training.
        space: of the search space, which may evolve.
        data: of the prepared data; empty while nothing has read it.
    """

    definition: str
    space: str
    data: str = ""

    @classmethod
    def parse(cls, text: str) -> StudyFingerprint | None:
        """Return the fingerprint that `format` wrote; None for other text, as KerasTuner's own tuner stores it."""
        found = _TEXT.fullmatch(text)
        return None if found is None else cls(**found.groupdict())

    def format(self) -> str:
        """Return the fingerprint as the queue stores it."""
        return f"{self.definition}-{self.space}:{self.data}"

    def with_data(self, digest: str) -> StudyFingerprint:
        """Return the fingerprint with the digest of prepared data."""
        return replace(self, data=digest)

    def is_same_study(self, other: StudyFingerprint | None) -> bool:
        """Return whether definition and space are the other's, whatever the data."""
        return self.has_same_definition(other) and other is not None and self.space == other.space

    def has_same_definition(self, other: StudyFingerprint | None) -> bool:
        """Return whether at most space and data differ from the other's."""
        return other is not None and self.definition == other.definition

    def continues(self, stored: StudyFingerprint | None) -> bool:
        """Return whether a study with checked data continues the stored one: the same, or with its data unchecked."""
        return stored is not None and self.is_same_study(stored) and stored.data in ("", self.data)
