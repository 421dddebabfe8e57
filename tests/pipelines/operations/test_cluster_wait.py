"""A study whose cluster is away before its search: it waits as a running one does."""

from __future__ import annotations

import pytest

from pipelines.engines.base import EngineLostError
from pipelines.operations.cluster_wait import ClusterWait
from pipelines.study.check_listener import CheckListener


class Listener(CheckListener):
    """Listener that keeps the lines, and ends the wait after so many looks."""

    def __init__(self, looks=10**9):
        self.lines = []
        self._looks = looks

    def note(self, line):
        self.lines.append(line)

    def keep_alive(self):
        self._looks -= 1
        if self._looks < 0:
            raise KeyboardInterrupt


class Cluster:
    """A cluster that is away for so many seconds of a clock, which goes on with pauses and tries."""

    def __init__(self, away_s):
        self.now_s = 0.0
        self.tries = []
        self._away_s = away_s

    def connect(self, while_waiting):
        self.tries.append(self.now_s)
        while_waiting()
        self.now_s += 5.0
        if self.now_s < self._away_s:
            raise EngineLostError("nothing answers at head:6379")
        return "engine"

    def sleep(self, seconds):
        self.now_s += seconds

    def wait(self, limit_s, listener):
        return self.make_wait(limit_s, listener).connect(self.connect)

    def make_wait(self, limit_s, listener):
        return ClusterWait(limit_s, listener, lambda: self.now_s, self.sleep)

    def restart(self, note, while_waiting):
        """Restart as an engine on this cluster."""
        self.connect(while_waiting)


def test_the_first_try_needs_no_line():
    """Where the cluster answers, nothing is said."""
    listener = Listener()
    assert Cluster(0.0).wait(60.0, listener) == "engine"
    assert listener.lines == []


def test_the_study_goes_on_when_the_cluster_is_back():
    """The wait and its end are stated once each, and tries are further and further apart."""
    cluster, listener = Cluster(300.0), Listener()
    assert cluster.wait(3600.0, listener) == "engine"
    waiting, back = listener.lines
    assert waiting == "nothing answers at head:6379; waiting up to 1h00m for it to come back (resources.reconnect)"
    assert back.startswith("it is back after ")
    gaps = [after - before for before, after in zip(cluster.tries, cluster.tries[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[0] == pytest.approx(6.0)


def test_the_wait_ends_at_the_limit():
    """The last try is no longer than the limit, and the message is that of a running study."""
    cluster = Cluster(10_000.0)
    with pytest.raises(
        EngineLostError, match=r"answers .*, and not within 1h00m \(resources.reconnect\); run the same"
    ):
        cluster.wait(3600.0, Listener())
    assert cluster.now_s < 3700.0


def test_a_request_ends_the_wait():
    """What the listener raises, such as a pause of a person, is not caught."""
    with pytest.raises(KeyboardInterrupt):
        Cluster(10_000.0).wait(3600.0, Listener(looks=50))


def lose(cluster, times, takes_s=0.0):
    """Return work that loses its cluster so many times, and takes a while each time."""
    left = iter(range(times))

    def work():
        cluster.now_s += takes_s
        if next(left, None) is not None:
            raise EngineLostError("the Ray cluster was lost")
        return "checked"

    return work


def test_work_begins_again_when_the_cluster_is_back():
    """Each loss and each return are lines that stay, and the work's result is returned."""
    cluster, listener = Cluster(300.0), Listener()
    assert cluster.make_wait(3600.0, listener).run(lose(cluster, 2), cluster) == "checked"
    waiting, back, again, _ = listener.lines
    assert waiting.startswith("the Ray cluster was lost; waiting up to 1h00m for it to come back (resources.reconnect)")
    assert back.startswith("it is back after ")
    assert back.endswith(": the check of the study begins again")
    assert "waiting up to" in again


def test_work_that_always_loses_its_cluster_ends():
    """The limit counts from the first loss to the end of the work."""
    cluster = Cluster(0.0)
    with pytest.raises(EngineLostError, match=r"was lost, and not within 1h00m \(resources.reconnect\); run the same"):
        cluster.make_wait(3600.0, Listener()).run(lose(cluster, 10**6, takes_s=500.0), cluster)
    assert cluster.now_s < 500.0 + 3600.0 + 510.0


def test_nothing_is_waited_for_where_the_study_waits_for_nothing():
    """With `reconnect: off` the loss ends the work at once."""
    cluster, listener = Cluster(0.0), Listener()
    with pytest.raises(EngineLostError, match=r"^the Ray cluster was lost; run the same file again when it is back"):
        cluster.make_wait(None, listener).run(lose(cluster, 1), cluster)
    assert (cluster.tries, listener.lines) == ([], [])
