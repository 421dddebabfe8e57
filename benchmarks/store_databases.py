"""Cost of recording a trial with the store on SQLite and on PostgreSQL, in turn in one run.

The real supervisor, search, recorder and outbox run a study of random draws whose trials end at once; nothing is
delivered to MLflow. Both databases sync each commit to disk. PostgreSQL runs on this machine, from Debian's packages
(`apt-get install postgresql`); a line to another machine adds its time to each statement.

    python benchmarks/store_databases.py [--trials N] [--rounds N]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import postgresql as cluster
import sqlalchemy as sa
from desk import Desk, scores
from fake_engine import FakeEngine

from pipelines.workspace.home import Home
from tracking.store.database import Store


@dataclass(frozen=True)
class Cost:
    """Cost of one study, a trial."""

    seconds: float
    cpu_ms: float
    commits: float


def main() -> None:
    """Run both in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    commits = itertools.count()
    sa.event.listen(sa.Engine, "commit", lambda connection: next(commits))
    found: dict[str, list[Cost]] = {"SQLite": [], "PostgreSQL": []}
    with cluster.Server(durable=True) as server, tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for name, costs in found.items():
                home = Path(folder) / f"{name}-{number}"
                address = str(home) if name == "SQLite" else cluster.create_database(server.url)
                costs.append(_measure(Home(home, address), options.trials, commits))
    print(f"a trial, medians of {options.rounds} studies of {options.trials} trials, in turn")
    print(f"{'':<12}{'by the clock, ms':>18}{'CPU of the supervisor, ms':>28}{'commits':>10}")
    for name, costs in found.items():
        clock, cpu, commit = (
            statistics.median(column) for column in zip(*((c.seconds, c.cpu_ms, c.commits) for c in costs), strict=True)
        )
        print(f"{name:<12}{1000 * clock:>18.1f}{cpu:>28.1f}{commit:>10.1f}")
    ratios = [p.seconds / s.seconds for s, p in zip(*found.values(), strict=True)]
    print(f"PostgreSQL to SQLite by the clock: {statistics.median(ratios):.2f}")


def _measure(home: Home, trials: int, commits: itertools.count[int]) -> Cost:
    with Store.open(home.store) as store:
        before, clock, cpu = next(commits), time.perf_counter(), time.process_time()
        Desk(store, home).run(FakeEngine(scores(1.0)), trials=trials)
        return Cost(
            (time.perf_counter() - clock) / trials,
            1000 * (time.process_time() - cpu) / trials,
            (next(commits) - before - 1) / trials,
        )


if __name__ == "__main__":
    main()
