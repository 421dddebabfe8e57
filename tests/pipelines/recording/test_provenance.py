"""The environment and the code of a study's numbers."""

from __future__ import annotations

import hashlib

from small_studies import study_of

from pipelines.recording.provenance import describe_environment, hash_code

OWN = "study: it\ndata: {source: 'loader.py:load', test_source: test.csv, target: y}\nmodel: 'model.py:build'\n"
FAMILY = "study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\n"


def test_the_environment_names_what_decides_numbers():
    """Versions of Python and of every library that takes part, and the number of cores."""
    known = describe_environment()
    assert {"python", "kerastudy", "keras", "tensorflow", "jax", "optuna", "mlflow", "platform", "cores"} <= set(known)


def test_the_code_of_a_study_is_each_file_that_it_names(tmp_path):
    """Its model's file and its loader's have a digest each, by the names in the study file; data files have none."""
    study = study_of(OWN + "objective: {metric: val_loss}\n", tmp_path)
    for name in ("loader.py", "model.py", "test.csv", "other.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    known = hash_code(study)
    assert set(known) == {"loader.py", "model.py", "kerastudy"}
    assert known["model.py"] == hashlib.sha256(b"# model.py\n").hexdigest()


def test_code_that_is_gone_is_left_out(tmp_path):
    """A file that is not there has no digest."""
    assert set(hash_code(study_of(OWN + "objective: {metric: val_loss}\n", tmp_path))) == {"kerastudy"}


def test_a_family_is_kerastudys_own_code(tmp_path):
    """A study of a shipped family names no code."""
    assert set(hash_code(study_of(FAMILY, tmp_path))) == {"kerastudy"}
