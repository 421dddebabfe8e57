"""The tables that a person finds ready in MLflow's UI: shared views, kept as tags of the experiment.

The format is the UI's own and no public interface: a tag `mlflow.sharedViewState.<id>` with a compressed page state.
It is best effort, pinned by a test in a browser.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any, Final

from tracking.mlflow.urls import view_id
from tracking.outbox.records import StudyOpened

TAG_PREFIX: Final = "mlflow.sharedViewState."
_PACKED: Final = "deflate;"


def leaderboard_view(study: str) -> str:
    """Return the identifier of a study's leaderboard."""
    return view_id("leaderboard", study)


def studies_view(experiment: str) -> str:
    """Return the identifier of an experiment's view of all its studies."""
    return view_id("studies", experiment)


def leaderboard_tag(opened: StudyOpened, parent_run_id: str) -> tuple[str, str]:
    """Return the tag that holds a study's leaderboard: its trials by score, with their active parameters."""
    further = [f"metrics.`{name}`" for name in opened.columns]
    front = ["tags.`kerastudy.front`"] if further else []
    columns = [_metric(opened), *further, *front, "tags.`state`", *map(_param, opened.parameters)]
    state = _state(
        search=f"tags.mlflow.parentRunId = '{parent_run_id}'",
        order_by=_metric(opened),
        ascending=opened.direction == "minimize",
        columns=columns,
    )
    return _tag(leaderboard_view(opened.study), f"Leaderboard {opened.study}", opened.started_ms, state)


def studies_tag(opened: StudyOpened, present: str | None) -> tuple[str, str]:
    """Return the tag that holds the nested view of all studies of an experiment.

    Args:
        opened: the study to add.
        present: the tag's value so far; its columns are kept.
    """
    columns = [_metric(opened), "tags.`state`"]
    if present is not None:
        columns = [*dict.fromkeys([*_unpacked(present).get("selectedColumns", []), *columns])]
    state = _state(search="", order_by="attributes.start_time", ascending=False, columns=columns)
    return _tag(studies_view(opened.experiment), "Studies", opened.started_ms, state)


def _metric(opened: StudyOpened) -> str:
    return f"metrics.`best_{opened.metric}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _state(*, search: str, order_by: str, ascending: bool, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "searchFilter": search,
        "orderByKey": order_by,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
    }


def _tag(identifier: str, name: str, created_ms: int, state: dict[str, Any]) -> tuple[str, str]:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": name, "createdAt": created_ms, "updatedAt": created_ms, "state": _PACKED + packed}
    return TAG_PREFIX + identifier, json.dumps(view)


def _unpacked(tag: str) -> dict[str, Any]:
    """Return a view's page state; empty where the UI has written it in a way we do not know."""
    try:
        packed = json.loads(tag)["state"].removeprefix(_PACKED)
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
    except (ValueError, KeyError, AttributeError, TypeError, zlib.error):
        return {}
    return state if isinstance(state, dict) else {}
