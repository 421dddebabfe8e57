"""Process that runs and kills a study many times within seconds: a fork for each life.

A life is one run of a study from its file to its end, supervisor and training in one process, with real Keras, a real
store and a real MLflow database. Its parent has imported all of them and started nothing, like a fork server. So a life
starts at once, where a command takes ten seconds, and a kill is a real kill.

Reads a `Request` as JSON from standard input, writes a `Life` as a line of JSON for each life.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pipelines.engines.base import Event, Failed, Finished, Job, Layout, Reported
from tracking.reports.lean_imports import load_libraries
from tracking.testing import failpoints

if TYPE_CHECKING:
    from pipelines.study.study import Study
    from pipelines.supervisor.supervisor import Supervisor
    from pipelines.training.messages import TrialJob
    from pipelines.workspace.home import Home

KILLED = -signal.SIGKILL
FILLER = "filler"
DELIVERY = frozenset(name for name, side in failpoints.FAILPOINTS.items() if side == "delivery")


@dataclass(frozen=True)
class Request:
    """A study and its lives.

    Attributes:
        file: the study file.
        home: its home.
        lives: for each life its failpoint, in the form of `failpoints.arm`; empty for none.
        store: the store's address, where it is not in the home.
        scripted: whether trials are scripted and no Keras is loaded: fleets need no JAX then.
        fill: for each life how many bytes are left on the home's disk once a trial has ended; None leaves it alone.
        deliver_apart: failpoints that each kill a delivery process once; where empty, scripted trials are delivered in
            a thread, which dies with its supervisor.
    """

    file: str
    home: str
    lives: Sequence[str]
    store: str = ""
    scripted: bool = False
    fill: Sequence[int | None] = ()
    deliver_apart: str = ""


@dataclass(frozen=True)
class Life:
    """End of a life.

    Attributes:
        killed_at: failpoint at which it should be killed.
        status: negative for the signal that killed it; otherwise its exit status.
        seconds: how long it took.
        output: result of the study, or the error, or nothing.
        ended: state and score of each trial in the store when the life was over.
    """

    killed_at: str
    status: int
    seconds: float
    output: str
    ended: Mapping[str, Any] = field(default_factory=dict)


def run_lives(request: Request, *, timeout_s: float = 400) -> list[Life]:
    """Run all lives of a study; return their ends."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true", "KERAS_BACKEND": "tensorflow"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "KERASTUDY_"))}
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(asdict(request)),
        env={**inherited, **quiet},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Life(**json.loads(line)) for line in done.stdout.splitlines()]


def main() -> None:
    """Run the requested lives."""
    request = Request(**json.loads(sys.stdin.read()))
    _load(scripted=request.scripted)
    from promises import load_acknowledged

    name, home = parse_name(Path(request.file).read_text()), Path(request.home)
    with tempfile.TemporaryDirectory(prefix="kerastudy-lives-") as folder:
        output = Path(folder) / "output.txt"
        for index, killed_at in enumerate(request.lives):
            output.write_text("")
            fill = request.fill[index] if index < len(request.fill) else None
            began = time.monotonic()
            pid = os.fork()
            if pid == 0:
                _live(request, killed_at, fill, output)
            _, status = os.waitpid(pid, 0)
            seconds = time.monotonic() - began
            free_space(home)
            ended = load_acknowledged(home, name, store=request.store)
            life = Life(killed_at, os.waitstatus_to_exitcode(status), seconds, output.read_text(), ended)
            print(json.dumps(asdict(life)), flush=True)


def parse_name(text: str) -> str:
    """Return the name in a study file's text."""
    return re.search(r"^study: *(\S+)", text, re.MULTILINE)[1]


def _load(*, scripted: bool) -> None:
    """Import the modules of a life, and start nothing: no thread may run when the process forks."""
    for module in (
        "optuna.storages",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
        "tracking.mlflow.projection",
        "pipelines.operations.run",
    ):
        importlib.import_module(module)
    load_libraries(lean=scripted)
    for module in () if scripted else ("data.prepare", "training.model_check", "training.trial", "selection.evaluate"):
        importlib.import_module(f"pipelines.{module}")


def _live(request: Request, killed_at: str, fill: int | None, output: Path) -> None:
    """Run the study in this forked process, and end the process."""
    status = 70
    try:
        failpoints.arm(killed_at)
        output.write_text(_run(request, killed_at, fill))
        status = 0
    except BaseException:
        output.write_text(traceback.format_exc())
    os._exit(status)


def _run(request: Request, killed_at: str, fill: int | None) -> str:
    from pipelines.recording import recorder
    from pipelines.study.load import load_study
    from pipelines.supervisor.events import StudyEnded, TrialEnded
    from pipelines.training import checkpoint
    from pipelines.workspace.home import Home
    from tracking.store import lease_keeper

    # A study of seconds must also run what happens only every few seconds.
    recorder._FLUSH_EVERY_S = 0.0
    lease_keeper.RENEW_EVERY_S = 0.0
    checkpoint._LEAST_S, checkpoint._SHARE = 0.0, 0
    home = Home(Path(request.home), request.store or request.home)
    study = load_study(Path(request.file))
    result = ""
    # The thread may be faster than the supervisor, and leave nothing to deliver to a later life that is killed there.
    delivers = not killed_at or killed_at.partition(":")[0] in DELIVERY
    scripted = partial(_make_scripted, delivers=delivers, apart=request.deliver_apart)
    with (scripted if request.scripted else _make_inline)(study, home) as at_work:
        for event in at_work.run():
            if isinstance(event, TrialEnded) and fill is not None:
                fill_up(home.folder, fill)
                fill = None
            if isinstance(event, StudyEnded):
                result = f"{event.state}: {event.reason}"
    return result


@contextmanager
def _make_inline(study: Study, home: Home) -> Iterator[Supervisor]:
    """Yield a study's supervisor whose jobs run in this process."""
    from pipelines.operations import run

    inline = patch.object(run, "open_engine", lambda study, home, listener, is_resumed: InlineWorker())
    with inline, run.supervise(study, home) as supervisor:
        yield supervisor


@contextmanager
def _make_scripted(study: Study, home: Home, *, delivers: bool, apart: str) -> Iterator[Supervisor]:
    """Yield the supervisor of a study whose trials are scripted; its records may stay in the outbox."""
    from desk import SUMMARY
    from fake_engine import FakeEngine, training
    from scripted_finalists import compared

    from pipelines.operations.submit import enqueue
    from pipelines.supervisor.supervisor import Supervisor
    from tracking.mlflow.delivery_handle import DeliveryHandle
    from tracking.mlflow.sink import make_home_sink_factory
    from tracking.outbox.dispatcher import OutboxDispatcher
    from tracking.store.database import Store

    def script(job: TrialJob) -> Any:
        best = 1 + (job.number * 0.618) % 1
        return (yield from training(job, [best + 2, best, *[best + 1] * (int(job.values["epochs"]) - 2)]))

    home.locate_data(study.name).mkdir(parents=True, exist_ok=True)
    (home.locate_data(study.name) / "split.csv").write_text("row,part\n")
    with Store.open(home.store) as store:
        enqueue(study, SUMMARY, store)
        connect = make_home_sink_factory(home.folder, {}, namespace=store.identity)
        delivery = OutboxDispatcher(store, connect, study=study.name)
        if apart:
            os.environ |= {failpoints.SETTING: apart, failpoints.ONCE_SETTING: str(home.folder.parent)}
            delivery = DeliveryHandle(home.folder, {}, store, home.store, study.name, lambda: supervisor.lease)
        elif not delivers:
            delivery.start = lambda within_s=0.0: None
        engine = FakeEngine(script, test_scores={}, others=compared(own=9.0, refit=1.0))
        supervisor = Supervisor(study, SUMMARY, home, store, engine, delivery)
        yield supervisor


class InlineWorker:
    """Engine that runs each job in this process and reports its events one by one; see `Engine`."""

    workers = 1
    layout = Layout()
    worker_memory_bytes = 10**10

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._aside: set[str] = set()

    @property
    def idle(self) -> int:
        return 0 if any(event.job not in self._aside for event in self._events) else 1

    @property
    def busy(self) -> Sequence[str]:
        return [self._events[-1].job] if self._events else []

    def warm(self, backend: str) -> None:
        """Do nothing: this process has imported its modules."""

    def submit(self, job: Job) -> None:
        from pipelines.engines.local_worker import _run

        assert job.backend in ("tensorflow", "none"), "this process has one backend"
        if job.aside:
            self._aside.add(job.name)
        kind, content = _run(job, _Channel(job.name, self._events))
        self._events.append(Finished(job.name, content) if kind == "finished" else Failed(job.name, *content))

    def answer(self, job: str, message: Any) -> None:
        raise AssertionError("jobs send no requests here")

    def stop(self, job: str) -> None:
        self._events.clear()

    def events(self, timeout_s: float) -> Sequence[Event]:
        return [self._events.popleft()] if self._events else []

    def close(self) -> None:
        """Do nothing: there are no workers."""


@dataclass(frozen=True)
class _Channel:
    """Channel of a job that collects its events."""

    job: str
    reported: deque[Event]

    def beat(self) -> None:
        """Do nothing: hangs are not watched."""

    def report(self, message: Any) -> None:
        self.reported.append(Reported(self.job, message))

    def request(self, message: Any) -> str:
        return "go_on"


def fill_up(home: Path, left_bytes: int) -> None:
    """Fill the disk of a home up to `left_bytes`."""
    with (home.parent / FILLER).open("wb", buffering=0) as filler:
        for chunk in (bytes(2**18), bytes(2**12)):
            with suppress(OSError):  # it is full
                while filler.write(chunk) == len(chunk):
                    pass
        filler.truncate(max(0, filler.tell() - left_bytes))


def free_space(home: Path) -> None:
    """Remove the file of `fill_up`."""
    (home.parent / FILLER).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
