"""Several hosts on one queue, with one killed and the database restarted: every study gets exactly its budget."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import postgresql as cluster
import psutil
import pytest
from command import COMMAND, environment, kerastudy_here
from process_tree import find_descendants
from promises import find_broken_promises

from pipelines.queries.hosts import list_hosts
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue

STUDIES, TRIALS = 12, 3
HOSTS = ("host-a", "host-b", "host-c")
STUDY = """
study: {name}
data: {{source: "sklearn:iris"}}
model: mlp
space: {{depth: 1, units: [4, 8, 16], batch_size: 32, epochs: 3}}
search: {{sampler: random, pruner: none, seed: {seed}}}
budget: {{trials: {trials}}}
resources: {{workers: 1, fleet: off}}
tracking: {{keep_models: 1}}
"""
# A name of its own, so that hosts see one another's processes neither alive nor dead, as on machines of their own.
NAMED = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"']


class Host:
    """`kerastudy supervise` under a host name of its own."""

    def __init__(self, name: str, folder: Path, variables: dict[str, str]) -> None:
        self.name, self.output = name, folder / f"{name}.out"
        command = [*NAMED, name, COMMAND, "--home", folder / "home", "supervise", "--studies", "1"]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(**variables))

    def kill(self) -> None:
        """End all processes of the host at once, as a loss of power does."""
        root = psutil.Process(self.process.pid)
        family = [root, *find_descendants(root.pid)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.suspend()  # none sees another one die
        for each in [*family, *find_descendants(root.pid)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()


def can_rename_hosts() -> bool:
    return subprocess.run([*NAMED, "x", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_rename_hosts(), reason="needs the right to give a process a host name of its own")
def test_three_hosts_share_a_queue(tmp_path):
    """Twelve studies end with their budgets, none runs twice, whichever host and connections are lost meanwhile."""
    if reason := cluster.explain_unavailable():
        pytest.skip(reason)
    with cluster.Server() as server:
        url = cluster.create_database(server.url)
        variables = {
            "KERASTUDY_STORE": url,
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
            "KERASTUDY_BASELINES": "off",
        }
        for number in range(STUDIES):
            file = tmp_path / f"s{number:02}.yaml"
            file.write_text(STUDY.format(name=file.stem, seed=number, trials=TRIALS))
            done = kerastudy_here("--home", tmp_path / "home", "submit", file, cwd=tmp_path, **variables)
            assert done.returncode == 0, done.stderr
        hosts = {name: Host(name, tmp_path, variables) for name in HOSTS}
        try:
            with Store.open(url) as store:
                seen = _watch(store, lambda seen: len(seen) == 3, hosts)
                hosts["host-b"].kill()
                _watch(store, lambda seen: _count_ended(store) >= 4, hosts)
                server.stop()
                time.sleep(5)
                server.start()
                seen |= _watch(store, lambda _: _count_ended(store) == STUDIES, hosts)
                # A process that was cut off while it delivered the last records leaves them to its host.
                _watch(store, lambda _: not Outbox(store).count_pending(), hosts)
            hosts["host-a"].process.send_signal(signal.SIGTERM)
            assert hosts["host-a"].process.wait(300) == 0
        finally:
            for host in hosts.values():
                if host.process.poll() is None:
                    host.kill()
        _check(url, tmp_path, variables)
        assert set(seen) >= set(HOSTS)


def _watch(store: Store, is_over, hosts: dict[str, Host]) -> set[str]:
    """Wait until something is over; return the hosts that were seen at work."""
    seen: set[str] = set()
    deadline = time.monotonic() + 900
    while not is_over(seen):
        outputs = {name: host.output.read_text()[-2000:] for name, host in hosts.items()}
        assert time.monotonic() < deadline, outputs
        seen |= {record.host for record in StudyQueue(store).list() if record.host}
        time.sleep(0.5)
    return seen


def _count_ended(store: Store) -> int:
    return StudyQueue(store).count_by_state().get("finished", 0)


def _check(url: str, folder: Path, variables: dict[str, str]) -> None:
    with Store.open(url) as store:
        assert Counter(record.state for record in StudyQueue(store).list()) == {"finished": STUDIES}
        assert all(record.counts == {"complete": TRIALS} for record in StudyQueue(store).list())
        # The host that was ended by SIGTERM has left, the one that was killed is lost.
        assert {each.host for each in list_hosts(store)} <= {"host-b", "host-c"}
    for number in range(STUDIES):
        lines = (folder / f"home/studies/s{number:02}/events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        ended = Counter(each["number"] for each in events if each["event"] == "trial-ended")
        assert ended == dict.fromkeys(range(TRIALS), 1), (number, ended)
    tracking_uri = variables["MLFLOW_TRACKING_URI"]
    broken = find_broken_promises(folder / "home", store=url, tracking_uri=tracking_uri, models=False)
    assert broken == [], "\n".join(broken)
