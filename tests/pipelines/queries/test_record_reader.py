"""Stored studies, read by their records."""

from __future__ import annotations

from pipelines.queries.record_reader import RecordReader, load_record


def test_the_file_of_a_study_is_read_back(home, study, store):
    """The document in the queue gives the same study, with its formats."""
    again = load_record(RecordReader(home, store).find_record("s"))
    assert again.spec.export.formats == ["saved_model"]
    assert again.spec.model_copy(update={"space": {}}) == study.spec
    assert (again.space, again.base) == (study.space, study.base)
    assert again.compute_fingerprint() == study.compute_fingerprint()
