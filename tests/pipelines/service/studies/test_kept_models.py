"""Processes that keep a model: found by the model's digest, bounded by their memory, ended when nobody needs them."""

from __future__ import annotations

import pytest

from pipelines.service.studies.kept_models import KeptModels, ServedModel
from pipelines.training.messages import PastTrial


class Idle:
    """An engine whose process holds 100 bytes."""

    def __init__(self, held: int = 100) -> None:
        self.held = held
        self.is_closed = False

    def measure_idle_bytes(self) -> int:
        return self.held

    def close(self) -> None:
        self.is_closed = True


def model(study="s", digest="1"):
    return ServedModel(study, PastTrial(f"{study}/trial", f"{study}/data"), digest)


@pytest.fixture
def kept():
    """Room for two."""
    return KeptModels(250)


def test_a_model_is_taken_by_one_request_at_a_time(kept):
    """A second request in the same moment gets none, and of two that end, one stays."""
    first, second = Idle(), Idle()
    kept.put(model(), first)
    assert kept.take(model()) is first
    assert kept.take(model()) is None
    kept.put(model(), first)
    kept.put(model(), second)
    assert (len(kept), first.is_closed, second.is_closed) == (1, False, True)


def test_a_model_that_has_changed_is_another_one(kept):
    """The process that has loaded the earlier files ends, and serves nobody."""
    engine = Idle()
    kept.put(model(digest="1"), engine)
    assert kept.take(model(digest="2")) is None
    assert (engine.is_closed, len(kept)) == (True, 0)


def test_the_one_that_was_used_longest_ago_leaves(kept):
    """Together they hold no more than there is room for."""
    engines = {name: Idle() for name in "abc"}
    kept.put(model("a"), engines["a"])
    kept.put(model("b"), engines["b"])
    kept.put(model("a"), kept.take(model("a")))
    kept.put(model("c"), engines["c"])
    assert [name for name, engine in engines.items() if engine.is_closed] == ["b"]


@pytest.mark.parametrize("held", [0, 251])
def test_what_cannot_be_kept_ends(kept, held):
    """A process that has died, or is larger than all the room, costs the others nothing."""
    other, engine = Idle(), Idle(held)
    kept.put(model("other"), other)
    kept.put(model(), engine)
    assert (engine.is_closed, other.is_closed, len(kept)) == (True, False, 1)


def test_a_deleted_study_keeps_nothing(kept):
    """The models of other studies stay."""
    gone, other = Idle(), Idle()
    kept.put(model("gone"), gone)
    kept.put(model("other"), other)
    kept.drop("gone")
    assert (gone.is_closed, other.is_closed) == (True, False)
    kept.end_idle(lambda study: study != "other")
    assert other.is_closed


def test_what_nobody_uses_ends():
    """A process stays for its time after the last use."""
    lasting, brief = KeptModels(250, kept_s=600), KeptModels(250, kept_s=0)
    for kept in (lasting, brief):
        kept.put(model(), Idle())
        kept.end_idle(lambda study: True)
    assert (len(lasting), len(brief)) == (1, 0)


def test_nothing_is_kept_once_the_service_stops(kept):
    """A request that ends after that ends its process, too."""
    waiting, busy = Idle(), Idle()
    kept.put(model("a"), waiting)
    kept.close()
    kept.put(model("b"), busy)
    assert (waiting.is_closed, busy.is_closed, len(kept)) == (True, True, 0)
