"""A checked study: its notes, its fingerprint, the places of problems that are found later."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pipelines.data.prepared import Task
from pipelines.models.objectives import list_reported_metrics
from pipelines.study.load import load_study
from search_spaces.errors import InputError, Problem

HEAD = "study: s\ndata: {source: d.csv}\nmodel: mlp\n"


@pytest.mark.parametrize(
    ("model", "metric", "noted"),
    [
        ("mlp", "accuracy", True),
        ("mlp", "loss", True),
        ("mlp", "val_accuracy", False),
        ("m.py:build", "accuracy", True),
        ("m.py:build", "my_score, direction: maximize", False),
    ],
)
def test_an_objective_on_the_training_rows_is_noted(tmp_path, model, metric, noted):
    """It is allowed, and seldom meant; of a metric unknown to Keras there is no note."""
    (tmp_path / "m.py").write_text("")
    (tmp_path / "s.yaml").write_text(HEAD.replace("mlp", model) + f"objective: {{metric: {metric}}}\n")
    notes = [str(note).removeprefix(f"{tmp_path}/") for note in load_study(tmp_path / "s.yaml").list_notes()]
    assert bool(notes) == noted
    for note in notes:
        assert note.startswith(f's.yaml:4:21: objective.metric: "{metric}" is what Keras reports for the training rows')
        assert note.endswith(f'"val_{metric}" is the same for the validation rows')


@pytest.mark.parametrize(
    ("written", "noted"),
    [
        ("objective: {metric: val_accuracy, direction: minimize}", "objective.direction: trials with the lowest"),
        ("objective: {metric: val_loss, direction: maximize}", "objective.direction: trials with the highest"),
        ("objective: {metric: val_accuracy, direction: maximize}", ""),
        ("objective: {metric: val_accuracy}", ""),
        ("objectives: [{metric: val_loss}, {metric: size_mb, direction: maximize}]", "objectives[1].direction: trials"),
    ],
)
def test_a_direction_that_is_not_the_usual_one_is_noted(tmp_path, written, noted):
    """It would make the worst trial the winner, and no score in any table would look wrong."""
    (tmp_path / "s.yaml").write_text(f"{HEAD}{written}\n")
    notes = [str(note) for note in load_study(tmp_path / "s.yaml").list_notes()]
    assert len(notes) == bool(noted)
    assert all(noted in note for note in notes)


def test_what_is_found_later_is_placed_in_the_file(tmp_path):
    """A problem that only the data shows gets the place of its key, also below columns with dots in their names."""
    (tmp_path / "s.yaml").write_text(
        "study: s\nmodel: mlp\ndata:\n  source: d.csv\n  columns:\n    a.b: {type: date}\n"
    )
    study = load_study(tmp_path / "s.yaml")
    found = study.locate_problems(
        InputError([Problem("late", "data.columns.a.b.type"), Problem("early", "data.source")])
    )
    assert str(found).replace(f"{tmp_path}{os.sep}", "").splitlines() == [
        "s.yaml:4:11: data.source: early",
        "s.yaml:6:17: data.columns.a.b.type: late",
    ]


CLASSES = Task("multiclass", ("y",), ("a", "b", "c"), class_counts=(60, 38, 2))
RARE = replace(CLASSES, default_metric="auc")


@pytest.mark.parametrize(
    ("more", "task", "metric", "metrics"),
    [
        ("", CLASSES, "val_accuracy", []),
        ("", RARE, "val_auc", ["auc"]),
        ("", RARE.with_weights(is_weighted=True), "val_weighted_auc", ["auc"]),
        ("objective: {metric: val_accuracy}\n", RARE, "val_accuracy", []),
        ("objective: {metric: val_balanced_accuracy}\n", CLASSES, "val_balanced_accuracy", ["balanced_accuracy"]),
        (
            "objectives: [{metric: val_loss}, {metric: val_recall}, {metric: parameters}]\n",
            RARE,
            "val_loss",
            ["recall"],
        ),
        ("training: {metrics: [auc]}\n", RARE, "val_auc", ["auc"]),
    ],
)
def test_training_reports_the_objectives(tmp_path, more, task, metric, metrics):
    """What data and file decide is reported without another key, and the study stays the same one."""
    (tmp_path / "s.yaml").write_text(HEAD + more)
    study = load_study(tmp_path / "s.yaml")
    assert study.resolve_task_objective(task).metric == metric
    training = study.resolve_training(task)
    assert training.metrics == metrics
    assert training.weighted_metrics == (["auc"] if task.is_weighted else [])
    names = {goal.metric for goal in study.resolve_task_objective(task).goals if goal.metric != "parameters"} | {metric}
    assert names <= set(list_reported_metrics(task.kind, training, is_weighted=task.is_weighted))
    assert study.spec.training.metrics == (["auc"] if "training" in more else [])


@pytest.mark.parametrize(("constraint", "noted"), [("depth > 5", True), ("depth > 2", False)])
def test_constraints_that_no_point_keeps_are_noted(tmp_path, constraint, noted):
    """A study that can have no trial is noted before it runs."""
    space = f"space:\n  depth: {{type: int, low: 1, high: 3}}\n  constraints: [{constraint}]\n"
    (tmp_path / "s.yaml").write_text(HEAD + space)
    notes = [str(note).removeprefix(f"{tmp_path}/") for note in load_study(tmp_path / "s.yaml").list_notes()]
    assert bool(notes) == noted
    for note in notes:
        assert note.endswith(
            "no point was found that keeps them all, such as depth > 5; the study fails where there is none"
        )
        assert "space.constraints" in note


def test_the_identity_holds_what_a_resumed_study_must_keep(tmp_path):
    """Budget, limits and resources may change between runs; data, model, space and objective may not."""

    def identity(text):
        (tmp_path / "s.yaml").write_text(text)
        return load_study(tmp_path / "s.yaml").compute_fingerprint()

    assert identity(HEAD) == identity(HEAD + "budget: {trials: 99}\nresources: {workers: 3}\nlimits: {memory: 4GB}\n")
    others = ["space: {depth: 2}\n", "objective: {metric: val_loss}\n", "training: {early_stopping: null}\n"]
    assert (
        len({identity(HEAD), identity(HEAD.replace("d.csv", "e.csv")), *(identity(HEAD + each) for each in others)})
        == 5
    )
