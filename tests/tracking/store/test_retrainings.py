"""Retrainings in the store."""

from dataclasses import replace

from tracking.store.retrainings import Retraining, Retrainings

ONE = Retraining(
    "s", 2, "seed-1", 7, "complete", 0.5, (0.5,), {"loss": 0.5}, 3, 1.5, 10, 20, trainer="fleet", parts=(2,)
)


def test_a_retraining_is_read_as_it_was_stored(store):
    """Retrainings come back equal, by number and then by name; a failed one has no value."""
    failed = replace(ONE, number=1, name="refit", state="failed", value=None, scores=(), reason="out of memory")
    table = Retrainings(store)
    for each in (ONE, replace(ONE, study="other"), replace(ONE, name="folds"), failed):
        table.put(each)
    assert table.list("s") == (failed, replace(ONE, name="folds"), ONE)


def test_a_repeated_retraining_replaces_the_first(store):
    """After a kill the same retraining may be recorded again; the later one stays."""
    table = Retrainings(store)
    table.put(ONE)
    table.put(replace(ONE, value=0.25, scores=(0.25,)))
    assert [each.value for each in table.list("s")] == [0.25]
