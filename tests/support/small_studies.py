"""Studies for tests: a study file's text in, a checked `Study` out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.study_file import Study, check_document
from search_spaces.document import parse_document
from search_spaces.parse import parse_space
from search_spaces.space import Space


def study_of(text: str, base: Path = Path()) -> Study:
    """Return the study that a file with this text in `base` holds."""
    return check_document(parse_document(text, "study.yaml"), base)


def space_of(**parameters: Any) -> Space:
    """Return the space that these keys of a study file's `space` mean."""
    import json

    return parse_space(parse_document(json.dumps({"space": parameters}), "study.json"), ("space",))
