"""Studies as the queue stores them."""

from __future__ import annotations

from dataclasses import replace

from small_studies import study_of

from pipelines.study.stored import failed_before_start, is_unchecked, load_stored_study, serialize_study
from tracking.store.study_queue import StudyQueue


def make_record(store, folder, digest=None):
    study = study_of("study: s\ndata: {source: sklearn:digits}\nmodel: mlp\nspace: {epochs: 3}\n")
    text = study.compute_fingerprint().format() if digest is None else digest
    return study, StudyQueue(store).enqueue("s", serialize_study(study), text, folder=folder)


def test_a_stored_study_is_the_study(store, tmp_path):
    """What is loaded from the queue has the fingerprint of the file."""
    study, record = make_record(store, tmp_path)
    assert load_stored_study(record).compute_fingerprint() == study.compute_fingerprint()


def test_a_study_is_unchecked_until_its_data_is_known(store, tmp_path):
    """One that failed unchecked failed before its first trial."""
    study, record = make_record(store, tmp_path)
    checked = replace(record, digest=study.compute_fingerprint().with_data("ef").format())
    assert is_unchecked(record)
    assert not is_unchecked(checked)
    assert failed_before_start(replace(record, state="failed"))
    assert not failed_before_start(replace(checked, state="failed"))


def test_a_study_of_kerastuners_own_tuner_is_never_unchecked(store, tmp_path):
    """It has no fingerprint."""
    _, record = make_record(store, tmp_path, digest="space/s")
    assert not is_unchecked(record)
