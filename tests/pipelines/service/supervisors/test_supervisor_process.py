"""A study's process keeps within what its submitter and the operator allow."""

from __future__ import annotations

import pytest
from small_studies import study_of

from pipelines.service.supervisors.supervisor_process import limit_check, limit_resources, withhold_alias

STUDY = "study: s\ndata: {source: 'sklearn:digits'}\nmodel: mlp\nresources: %s\n"


@pytest.mark.parametrize(
    ("resources", "most_trials", "workers", "fleet"),
    [
        ("{workers: 4, fleet: off}", 2, 2, "off"),
        ("{workers: 2, fleet: 16}", 8, 2, 4),
        ("{workers: 2, fleet: auto}", 8, 2, 4),
        ("{workers: 2, fleet: 3}", 100, 2, 3),
        ("{workers: 4, fleet: 16}", 6, 4, "off"),
        ("{workers: 2, fleet: auto}", 3, 2, "off"),
        ("{workers: 4, fleet: auto}", 1, 1, "off"),
        ("{workers: 4, fleet: auto}", None, 4, "auto"),
    ],
)
def test_a_quota_is_divided_among_workers_and_slots(monkeypatch, resources, most_trials, workers, fleet):
    """Workers times slots are never more trials than allowed; without a quota nothing changes."""
    monkeypatch.setattr("pipelines.service.supervisors.supervisor_process.cores", lambda: 8)
    narrow = limit_resources(study_of(STUDY % resources), most_trials, None).spec.resources
    assert (narrow.workers, narrow.fleet) == (workers, fleet)
    if most_trials is not None:
        assert narrow.workers * (1 if narrow.fleet == "off" else narrow.fleet) <= most_trials


@pytest.mark.parametrize(
    ("resources", "limit", "workers"),
    [
        ("{workers: 4}", 2, 2),
        ("{workers: 1}", 2, 1),
        ("{}", 3, 3),
        ("{workers: 20}", 12, 8),
        ("{engine: ray, address: 'head:6379', workers: 20}", 12, 12),
        ("{engine: ray, address: 'head:6379'}", 12, 12),
    ],
)
def test_an_operator_limits_workers(monkeypatch, resources, limit, workers):
    """The limit holds whatever a study's file requests, or leaves to the machine."""
    monkeypatch.setattr("pipelines.service.supervisors.supervisor_process.cores", lambda: 8)
    assert limit_resources(study_of(STUDY % resources), None, limit).spec.resources.workers == workers


def test_nothing_else_of_the_study_changes():
    """Its identity and its file stay what was submitted."""
    study = study_of(STUDY % "{workers: 4}")
    narrow = limit_resources(study, 1, None)
    assert (narrow.compute_fingerprint(), narrow.document) == (study.compute_fingerprint(), study.document)


@pytest.mark.parametrize(
    ("limits", "memory", "data_time"),
    [("{}", 10**9, 60.0), ("{memory: 2GB, data_time: 2m}", 10**9, 60.0), ("{memory: 1MB, data_time: 1s}", 10**6, 1.0)],
)
def test_an_operator_limits_memory_and_the_preparation_of_data(limits, memory, data_time):
    """The smaller limit holds, the file's or the operator's; without the operator's, the file's."""
    study = study_of(STUDY % "{}" + f"limits: {limits}\n")
    narrow = limit_check(study, 60.0, 10**9, 30.0)
    assert (narrow.spec.limits.memory, narrow.spec.limits.data_time) == (memory, data_time)
    assert narrow.spec.limits.check_time == 30.0
    assert limit_check(study, None, None).spec.limits == study.spec.limits
    assert narrow.compute_fingerprint() == study.compute_fingerprint()


def test_a_study_whose_submitter_may_not_move_its_alias_ends_with_a_challenger():
    """Its identity and its file stay what was submitted."""
    study = study_of(STUDY % "{workers: 4}")
    held = withhold_alias(study, ("champion",))
    assert (held.spec.export.alias, withhold_alias(study, ("prod",)).spec.export.alias) == ("challenger", "champion")
    assert (held.compute_fingerprint(), held.document) == (study.compute_fingerprint(), study.document)
