"""Prepared tables in MLflow's UI: shared views, stored as tags of the experiment.

The format is internal to the UI, no public interface: a tag `mlflow.sharedViewState.<id>` with a compressed page
state. A test in a browser checks that the UI still reads it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any, Final

from tracking.mlflow.names import encode_name, encode_names
from tracking.mlflow.urls import make_view_id
from tracking.outbox.records import StudyOpened

TAG_PREFIX: Final = "mlflow.sharedViewState."
_PACKED: Final = "deflate;"
_LONGEST_TAG: Final = 5000  # characters; MLflow 3.17 allows 20,000, older servers no more than this


def make_leaderboard_view_id(study: str) -> str:
    """Return the identifier of a study's leaderboard."""
    return make_view_id("leaderboard", study)


def make_studies_view_id(experiment: str) -> str:
    """Return the identifier of an experiment's view of all its studies."""
    return make_view_id("studies", experiment)


def make_leaderboard_tag(opened: StudyOpened, parent_run_id: str) -> tuple[str, str]:
    """Return the tag that holds a study's leaderboard: its trials by score, with their active parameters."""
    further = [f"metrics.`{encode_name(name)}`" for name in opened.columns]
    pareto = ["tags.`kerastudy.pareto_front`"] if further else []
    columns = [_format_metric(opened), *further, *pareto, "tags.`state`", *_format_params(opened)]
    view_id, name = make_leaderboard_view_id(opened.study), f"Leaderboard {opened.study}"
    while True:
        state = _make_state(
            search=f"tags.mlflow.parentRunId = '{parent_run_id}'",
            order_by=_format_metric(opened),
            ascending=opened.direction == "minimize",
            columns=columns,
        )
        tag = _make_tag(view_id, name, opened.started_ms, state)
        if len(tag[1]) <= _LONGEST_TAG:
            return tag
        columns = columns[: len(columns) * 9 // 10]  # a person can add those of further hyperparameters


def make_studies_tag(opened: StudyOpened, present: str | None) -> tuple[str, str]:
    """Return the tag that holds the nested view of all studies of an experiment.

    Args:
        opened: the study to add.
        present: the tag's value so far; its columns are kept.
    """
    columns = [_format_metric(opened), "tags.`state`"]
    if present is not None:
        # All studies of an experiment share one view, and each adds its columns.
        columns = [*dict.fromkeys([*_unpack_state(present).get("selectedColumns", []), *columns])]
    state = _make_state(search="", order_by="attributes.start_time", ascending=False, columns=columns)
    return _make_tag(make_studies_view_id(opened.experiment), "Studies", opened.started_ms, state)


def _format_metric(opened: StudyOpened) -> str:
    return f"metrics.`{encode_name(f'best_{opened.metric}')}`"


def _format_params(opened: StudyOpened) -> list[str]:
    names = encode_names(opened.parameters)
    return [f"params.`{names[name]}`" for name in opened.parameters]


def _make_state(*, search: str, order_by: str, ascending: bool, columns: Sequence[str]) -> dict[str, Any]:
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


def _make_tag(identifier: str, name: str, created_ms: int, state: dict[str, Any]) -> tuple[str, str]:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    # Not the present time: a second delivery must write the same tag.
    view = {"name": name, "createdAt": created_ms, "updatedAt": created_ms, "state": _PACKED + packed}
    return TAG_PREFIX + identifier, json.dumps(view)


def _unpack_state(tag: str) -> dict[str, Any]:
    """Return a view's page state; empty where the UI wrote it in an unknown form."""
    try:
        packed = json.loads(tag)["state"].removeprefix(_PACKED)
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
    except (ValueError, KeyError, AttributeError, TypeError, zlib.error):
        return {}
    return state if isinstance(state, dict) else {}
