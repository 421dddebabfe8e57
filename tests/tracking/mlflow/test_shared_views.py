"""The shared views' format; that the UI understands it is tested in a browser (test_ui.py)."""

import base64
import json
import zlib

import pytest

from tracking.mlflow.shared_views import make_leaderboard_tag, make_studies_tag


def unpack(value):
    view = json.loads(value)
    return view["name"], json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))


def test_a_leaderboard_is_filtered_sorted_and_has_the_columns(a_study):
    """It shows one study's trials, the best first, with objective, state and parameters."""
    tag, value = make_leaderboard_tag(a_study("digits")[0], "parent")
    name, state = unpack(value)
    assert tag.startswith("mlflow.sharedViewState.")
    assert name == "Leaderboard digits"
    assert state["searchFilter"] == "tags.mlflow.parentRunId = 'parent'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`best_val_accuracy`", False)
    assert state["selectedColumns"] == [
        "metrics.`best_val_accuracy`", "tags.`state`",
        "params.`learning_rate`", "params.`optimizer`", "params.`momentum`",
    ]  # fmt: skip


@pytest.mark.parametrize("present", ["", "{}", '{"state": "zstd;abc"}', '{"state": 5}', '{"state": "deflate;AAAA"}'])
def test_a_view_that_somebody_rewrote_is_no_obstacle(a_study, present):
    """A view in a format that we do not know is replaced."""
    name, state = unpack(make_studies_tag(a_study("digits")[0], present)[1])
    assert name == "Studies"
    assert state["selectedColumns"] == ["metrics.`best_val_accuracy`", "tags.`state`"]
