"""The fingerprint of a study and its stored text."""

from __future__ import annotations

from dataclasses import replace

from pipelines.study.fingerprint import StudyFingerprint

UNCHECKED = StudyFingerprint("ab", "cd")


def test_the_text_is_read_back():
    """`parse` returns what `format` wrote, with and without data."""
    for each in (UNCHECKED, UNCHECKED.with_data("ef")):
        assert StudyFingerprint.parse(each.format()) == each
    assert UNCHECKED.format() == "ab-cd:"


def test_other_text_is_no_fingerprint():
    """KerasTuner's own tuner stores a name in place of a fingerprint."""
    assert StudyFingerprint.parse("space/digits") is None


def test_a_study_is_the_same_if_definition_and_space_are():
    """The space alone may evolve; without a fingerprint nothing is the same."""
    evolved = replace(UNCHECKED, space="ee")
    assert UNCHECKED.is_same_study(UNCHECKED.with_data("ef"))
    assert not UNCHECKED.is_same_study(evolved)
    assert UNCHECKED.has_same_definition(evolved)
    assert not UNCHECKED.has_same_definition(None)
    assert not UNCHECKED.is_same_study(None)


def test_checked_data_continues_an_unchecked_study_and_the_same_data():
    """Other data is another study."""
    checked = UNCHECKED.with_data("ef")
    assert checked.continues(UNCHECKED)
    assert checked.continues(checked)
    assert not checked.continues(UNCHECKED.with_data("aa"))
    assert not checked.continues(None)
