"""Kills workers, supervisor and MLflow server of a study at random, again and again, and checks what is left.

    make chaos KILLS=200
    python tests/faults/chaos.py --kills 200 [--seed N] [--trials 40] [--store URL] [--kinds loop,asha-fleet]

A study of real trainings is run by the real command and recorded to a real `mlflow server`. At random times one of the
three is killed with SIGKILL. Workers are the supervisor's business; the supervisor is started again by the same
command, the server with the same database. Studies follow each other until all kills are done, and the last one
ends. Then every promise of `promises.py` is checked. The seed decides what is killed and when; when that is in a
trial's life, the machine decides.

The exit status is 0 where every promise was kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.request import urlopen

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import psutil
from command import COMMAND, environment
from process_tree import find_descendants, find_fork_servers, find_workers, is_running
from promises import count_waiting_rows, find_broken_promises, load_acknowledged
from small_studies import write_mixed_csv

TARGETS = {"worker": 0.5, "supervisor": 0.15, "server": 0.25, "fork server": 0.1}
"""What is killed, and its share of the kills; a fork server is the process that forks workers."""

STUDY = """
study: {name}
data: {{source: mixed.csv, target: bought, split: {{validation: 0.25, test: 0.2, seed: 1}}}}
model: mlp
space:
  depth: 1
  units: [8, 16, 32]
  batch_size: 16
  activation: [relu, tanh]
  learning_rate: {{type: float, low: 1e-4, high: 1e-1, log: true}}
  epochs: {epochs}
objective: {{metric: val_accuracy}}
training: {{early_stopping: null}}
search: {{sampler: random, pruner: {pruner}, seed: {seed}}}
budget: {{trials: {trials}}}
limits: {{attempts: 100}}
resources: {{workers: 2, fleet: {fleet}}}
tracking: {{keep_models: 3}}
"""
EPOCHS = {"loop": 100, "fleet": 600, "asha": 100, "asha-fleet": 600}
FLEET = {"loop": "off", "fleet": "4", "asha": "off", "asha-fleet": "4"}
_LEAST_PAUSE_S, _MOST_PAUSE_S = 1.0, 6.0
_STUCK_S = 600.0


@dataclass
class Tally:
    """Counts of the kills, and the results."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    broken: list[str] = field(default_factory=list)
    studies: list[str] = field(default_factory=list)


class Server:
    """MLflow's server, which can be killed with all its processes and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        options = {
            "--backend-store-uri": f"sqlite:///{self._folder / 'server.db'}",
            "--artifacts-destination": str(self._folder / "artifacts"),
            "--host": "127.0.0.1",
            "--port": str(self._port),
            "--workers": "1",
        }
        command = [sys.executable, "-m", "mlflow", "server", *(part for option in options.items() for part in option)]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment(**quiet), start_new_session=True
            )

    def kill(self) -> None:
        """End it and its processes at once."""
        if self._process is not None:
            kill_group(self._process.pid)
            self._process.wait()

    def wait(self, seconds: float) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urlopen(f"{self.address}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"MLflow's server does not answer; see {self._folder / 'server.log'}")


def kill_group(group: int) -> None:
    """Kill a process group that this script started, if it is still there."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


class Chaos:
    """One go at `kills` kills.

    Args:
        folder: takes everything; made empty by the caller.
        store: the store's address; in the home if empty.
    """

    def __init__(self, folder: Path, *, kills: int, seed: int, trials: int, store: str, kinds: Sequence[str]) -> None:
        self._folder = folder
        self._home = folder / "home"
        self._most = kills
        self._seed = seed
        self._trials = trials
        self._store = store
        self._kinds = kinds
        self._chance = random.Random(seed)
        self._pause_s = 3.0
        self._server = Server(folder)
        self._seen: set[psutil.Process] = set()
        self.tally = Tally()

    def run(self) -> None:
        """Run studies until all kills are done and the last study has ended; check each one."""
        write_mixed_csv(self._folder / "mixed.csv", rows=1500)
        self._server.start()
        self._server.wait(120)
        with (self._folder / "chaos.jsonl").open("a") as self._log:
            try:
                number = 0
                while number == 0 or self._left:
                    kind = self._kinds[number % len(self._kinds)]
                    self._study(f"chaos-{number}-{kind}", kind, self._seed + number)
                    number += 1
                self._look_for_orphans()
            finally:
                self._server.kill()

    def _look_for_orphans(self) -> None:
        """Nothing that a supervisor ever started may continue without it."""
        deadline = time.monotonic() + 15
        while orphans := {process for process in self._seen if is_running(process)}:
            if time.monotonic() > deadline:
                self.tally.broken.append(f"processes are left: {orphans}")
                return
            time.sleep(0.5)

    @property
    def _left(self) -> int:
        return self._most - self.tally.kills.total()

    def _study(self, name: str, kind: str, seed: int) -> None:
        pruner = "asha" if kind.startswith("asha") else "none"
        text = STUDY.format(
            name=name, epochs=EPOCHS[kind], seed=seed, trials=self._trials, fleet=FLEET[kind], pruner=pruner
        )
        file = self._folder / f"{name}.yaml"
        file.write_text(text)
        began, before = time.monotonic(), self.tally.kills.total()
        known: dict[int, tuple[str, float | None]] = {}
        while True:
            status = self._life(file, name)
            self._note("supervisor ended", status=status)
            now = load_acknowledged(self._home, name, store=self._store)
            if lost := {number: end for number, end in known.items() if now.get(number) != end}:
                self.tally.broken.append(f"{name}: results were lost: {lost}")
            known = now
            if status == 0 and not count_waiting_rows(self._home, name, store=self._store):
                break
            if status not in (0, -signal.SIGKILL):
                self.tally.broken.append(f"{name}: the command ended with {status}; see {self._output(name)}")
                return
        self._server.wait(120)
        broken = find_broken_promises(self._home, store=self._store, tracking_uri=self._server.address, only=name)
        if "Traceback" in self._output(name).read_text():
            broken.append(f"{name}: the command printed a traceback; see {self._output(name)}")
        self.tally.broken += broken
        states = dict(Counter(state for state, _ in known.values()))
        kills = self.tally.kills.total() - before
        line = f"{name}: {states}, {kills} kills in {time.monotonic() - began:.0f} s"
        self.tally.studies.append(line)
        print(f"{line}; {broken or 'all promises kept'}", flush=True)

    def _life(self, file: Path, name: str) -> int:
        """Run the command and kill at random; return its exit status."""
        env = environment(MLFLOW_TRACKING_URI=self._server.address, **self._store_setting())
        with self._output(name).open("ab") as output:
            command = [COMMAND, "--home", self._home, "run", file]
            process = subprocess.Popen(command, stdout=output, stderr=output, env=env, start_new_session=True)
        self.tally.runs += 1
        self._note("supervisor started", pid=process.pid)
        last, progressed = self._progress(name), time.monotonic()
        due = time.monotonic() + self._next_pause()
        try:
            while process.poll() is None:
                time.sleep(0.1)
                now = time.monotonic()
                if (progress := self._progress(name)) != last:
                    last, progressed = progress, now
                if now - progressed > _STUCK_S:
                    self.tally.broken.append(f"{name}: nothing happened for {_STUCK_S:g} s")
                    process.kill()
                if self._left and now >= due:
                    self._kill(process, moved=now - progressed < self._pause_s)
                    due = time.monotonic() + self._next_pause()
        except BaseException:
            kill_group(process.pid)
            raise
        return process.wait()

    def _kill(self, process: subprocess.Popen[bytes], *, moved: bool) -> None:
        """Kill a process; wait longer for the next time if there was no progress, else less."""
        factor = 0.9 if moved else 1.1
        self._pause_s = min(_MOST_PAUSE_S, max(_LEAST_PAUSE_S, self._pause_s * factor))
        self._seen |= find_descendants(process.pid)
        target = self._chance.choices([*TARGETS], [*TARGETS.values()])[0]
        if target == "server":
            self._server.kill()
            self._server.start()
        elif target == "supervisor":
            process.kill()
        else:
            there = find_fork_servers(process.pid) if target == "fork server" else find_workers(process.pid)
            if not there:
                return
            with suppress(psutil.NoSuchProcess):
                self._chance.choice(there).kill()
        self.tally.kills[target] += 1
        self._note("killed", target=target, left=self._left, pause_s=round(self._pause_s, 2))

    def _next_pause(self) -> float:
        return self._chance.expovariate(1 / self._pause_s)

    def _progress(self, name: str) -> int:
        """Return a number that grows with each epoch of any trial."""
        files = (self._home / "studies" / name / "trials").glob("*/fold-*-epochs.jsonl")
        total = 0
        for file in files:
            try:
                total += file.stat().st_size
            except OSError:  # removed meanwhile
                continue
        return total

    def _output(self, name: str) -> Path:
        return self._folder / f"{name}.out"

    def _store_setting(self) -> dict[str, str]:
        return {"KERASTUDY_STORE": self._store} if self._store else {}

    def _note(self, what: str, **more: object) -> None:
        self._log.write(json.dumps({"at": round(time.time(), 2), "what": what, **more}) + "\n")
        self._log.flush()

    _log: TextIO


def _folder(chosen: str | None) -> Path:
    """Return a new folder for all output."""
    if chosen is None:
        return Path(tempfile.mkdtemp(prefix="kerastudy-chaos-"))
    Path(chosen).mkdir(parents=True)
    return Path(chosen)


@contextmanager
def _store_at(address: str) -> Iterator[str]:
    """Yield the store's address; for `postgresql` alone, that of a server made for this run."""
    if address != "postgresql":
        yield address
        return
    import postgresql

    if reason := postgresql.explain_unavailable():
        raise SystemExit(reason)
    with postgresql.server(durable=True) as server:
        yield postgresql.create_database(server)


def main() -> int:
    """Run the kills, print the result, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=40, help="of each study")
    parser.add_argument("--store", default="", help="a database's URL; `postgresql` starts a server for this run")
    parser.add_argument("--kinds", default="loop,fleet,asha,asha-fleet", help="how trials train, study by study")
    parser.add_argument("--to", help="folder for everything; must not exist")
    options = parser.parse_args()
    began = time.monotonic()
    folder = _folder(options.to)
    with _store_at(options.store) as store:
        print(f"everything is in {folder}", flush=True)
        kinds = options.kinds.split(",")
        chaos = Chaos(folder, kills=options.kills, seed=options.seed, trials=options.trials, store=store, kinds=kinds)
        chaos.run()
    tally = chaos.tally
    print(f"\n| {'kills':<12} | {'number':>6} |\n|{'-' * 14}|{'-' * 8}|")
    for target in TARGETS:
        print(f"| {target:<12} | {tally.kills[target]:>6} |")
    print(f"| {'all':<12} | {tally.kills.total():>6} |\n")
    for line in tally.studies:
        print(line)
    print(f"{tally.runs} runs of the command in {time.monotonic() - began:.0f} s, seed {options.seed}")
    print("every promise was kept" if not tally.broken else "BROKEN:\n" + "\n".join(tally.broken))
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
