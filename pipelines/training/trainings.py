"""Trainings of one trial, numbered from 0: each on a fold of the data, and all folds again with each further seed."""

from __future__ import annotations

from pathlib import Path

from pipelines.data.prepared_folder import load_summary
from pipelines.training.messages import TrialJob


def count_trainings(job: TrialJob) -> int:
    """Return how many trainings a trial has."""
    return load_summary(Path(job.data)).folds * job.training.seeds


def find_fold(job: TrialJob, training: int) -> int:
    """Return the fold that a training of a trial is on."""
    return training % load_summary(Path(job.data)).folds


def name_training(training: int, folds: int, seeds: int) -> str:
    """Return the name of a training of a trial with so many folds and seeds; empty for the only one.

    >>> name_training(1, 3, 1), name_training(1, 1, 2), name_training(4, 3, 2), name_training(0, 1, 1)
    ('fold_2', 'seed_2', 'fold_2_seed_2', '')
    """
    fold = [f"fold_{training % folds + 1}"] if folds > 1 else []
    seed = [f"seed_{training // folds + 1}"] if seeds > 1 else []
    return "_".join(fold + seed)
