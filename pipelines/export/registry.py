"""Registry of the export formats, in the order of their listing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence

from pipelines.engines.base import Channel
from pipelines.export.base import Format, Tolerance
from pipelines.export.formats.keras import KerasFile, KerasInt8File
from pipelines.export.formats.litert import LiteRT
from pipelines.export.formats.onnx import OnnxFile
from pipelines.export.formats.openvino import OpenVino
from pipelines.export.formats.saved_model import SavedModel
from pipelines.spec.schema import GoalSpec
from search_spaces.errors import InputError, Problem, suggest_choice

# The tolerances of the formats that round were chosen: what most users would still call the same model.
FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        KerasFile(),
        KerasInt8File(),
        SavedModel(),
        LiteRT("float32", "LiteRT (TensorFlow Lite), for phones and devices", Tolerance(difference=1e-5)),
        LiteRT(
            "float16",
            "LiteRT with 16-bit weights: half the size",
            Tolerance(difference=None, agreement=0.99, score=0.01, value=0.01),
        ),
        LiteRT(
            "dynamic",
            "LiteRT with 8-bit weights in large layers, arithmetic in floating point",
            Tolerance(difference=None, agreement=0.97, score=0.03, value=0.03),
        ),
        LiteRT(
            "int8",
            "LiteRT in 8-bit arithmetic, calibrated on training rows",
            Tolerance(difference=None, agreement=0.95, score=0.05, value=0.05),
        ),
        OnnxFile(),
        OpenVino(),
    )
}


def check_formats(names: Iterable[str]) -> None:
    """Check that every format is known and can be written here.

    Raises:
        InputError: if one is unknown, or its packages are not installed; names the extra that installs them.
    """
    for name in names:
        if name not in FORMATS:
            raise InputError(f'unknown format "{name}"; {suggest_choice(name, FORMATS)}')
        chosen = FORMATS[name]
        missing = [package for module, package in chosen.packages.items() if not _is_installed(module)]
        if missing:
            raise InputError(
                f'the format "{name}" needs {" and ".join(missing)}, not installed here: '
                f'pip install "kerastudy[{chosen.extra}]"'
            )


def check_goals(goals: Sequence[GoalSpec], _: Channel) -> None:
    """Check that the formats of the objectives can be written here; a job.

    Raises:
        InputError: as `check_formats`, with the place of the objective.
    """
    for place, goal in enumerate(goals):
        try:
            check_formats([goal.format or "keras"])
        except InputError as error:
            raise InputError(Problem(error.problems[0].message, f"objectives[{place}].format")) from None


def _is_installed(module: str) -> bool:
    # Found and not imported: the runtimes take long to load.
    return importlib.util.find_spec(module) is not None
