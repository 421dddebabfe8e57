"""The process that lets a study live and be killed many times within seconds: a fork for each life.

A life is one run of a study from its file to its end, supervisor and training in one process, with real Keras, a real
store and a real MLflow database. Its parent has loaded all of them and begun nothing, as a fork server has; so what
takes a command ten seconds is there at once, and a kill is a kill.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pipelines.engines.base import Event, Failed, Finished, Job, Reported
from tracking.testing import failpoints

if TYPE_CHECKING:
    from pipelines.study.study import Study
    from pipelines.supervisor.supervisor import Supervisor
    from pipelines.training.messages import TrialJob
    from pipelines.workspace.home import Home

KILLED = -signal.SIGKILL
FILLER = "filler"


@dataclass(frozen=True)
class Request:
    """A study and its lives.

    Attributes:
        file: the study file.
        home: its home.
        lives: for each life where it is killed, as `failpoints.arm` takes it; empty for nowhere.
        store: the store's address, where it is not in the home.
        scripted: whether trials are scripted and no Keras is loaded: fleets need no JAX then.
        fill: for each life how many bytes are left on the home's disk once a trial has ended; None leaves it alone.
    """

    file: str
    home: str
    lives: Sequence[str]
    store: str = ""
    scripted: bool = False
    fill: Sequence[int | None] = ()


@dataclass(frozen=True)
class Life:
    """How a life ended.

    Attributes:
        killed_at: where it was to be killed.
        status: negative for the signal that killed it; otherwise its exit status.
        seconds: how long it took.
        said: what the study came to, or the error, or nothing.
        ended: state and score of each trial in the store when the life was over.
    """

    killed_at: str
    status: int
    seconds: float
    said: str
    ended: Mapping[str, Any] = field(default_factory=dict)


def lives_of(request: Request, *, timeout_s: float = 400) -> list[Life]:
    """Let a study live; return how each life ended."""
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
    """Live as asked."""
    request = Request(**json.loads(sys.stdin.read()))
    _load(scripted=request.scripted)
    from promises import acknowledged

    name, home = parse_name(Path(request.file).read_text()), Path(request.home)
    with tempfile.TemporaryDirectory(prefix="kerastudy-lives-") as folder:
        said = Path(folder) / "said.txt"
        for index, killed_at in enumerate(request.lives):
            said.write_text("")
            fill = request.fill[index] if index < len(request.fill) else None
            began = time.monotonic()
            pid = os.fork()
            if pid == 0:
                _live(request, killed_at, fill, said)
            _, status = os.waitpid(pid, 0)
            seconds = time.monotonic() - began
            free(home)
            ended = acknowledged(home, name, store=request.store)
            life = Life(killed_at, os.waitstatus_to_exitcode(status), seconds, said.read_text(), ended)
            print(json.dumps(asdict(life)), flush=True)


def parse_name(text: str) -> str:
    """Return the name in a study file's text."""
    return re.search(r"^study: *(\S+)", text, re.MULTILINE)[1]


def _load(*, scripted: bool) -> None:
    """Load what a life needs, and begin nothing: no thread may be there when the process forks."""
    for module in ("optuna.storages", "tracking.mlflow.projection", "pipelines.operations.run"):
        importlib.import_module(module)
    for module in () if scripted else ("data.job", "training.check", "training.trial", "selection"):
        importlib.import_module(f"pipelines.{module}")


def _live(request: Request, killed_at: str, fill: int | None, said: Path) -> None:
    """Run the study in this process, which was made for it, and end the process."""
    status = 70
    try:
        failpoints.arm(killed_at)
        said.write_text(_run(request, fill))
        status = 0
    except BaseException:
        said.write_text(traceback.format_exc())
    os._exit(status)


def _run(request: Request, fill: int | None) -> str:
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
    said = ""
    with _scripted(study, home) if request.scripted else _inline(study, home) as at_work:
        for event in at_work.run():
            if isinstance(event, TrialEnded) and fill is not None:
                fill_up(home.folder, fill)
                fill = None
            if isinstance(event, StudyEnded):
                said = f"{event.state}: {event.reason}"
    return said


@contextmanager
def _inline(study: Study, home: Home) -> Iterator[Supervisor]:
    """Yield a study's supervisor whose jobs run in this process."""
    from pipelines.operations import run

    inline = patch.object(run, "LocalEngine", lambda workers, cache, user_code: InlineWorker())
    with inline, run.supervise(study, home) as supervisor:
        yield supervisor


@contextmanager
def _scripted(study: Study, home: Home) -> Iterator[Supervisor]:
    """Yield the supervisor of a study whose trials are scripted."""
    from desk import SUMMARY
    from fake_engine import FakeEngine, training

    from pipelines.operations.submit import enqueue
    from pipelines.supervisor.supervisor import Supervisor
    from tracking.mlflow.sink import make_home_sink_factory
    from tracking.outbox.dispatcher import OutboxDispatcher
    from tracking.store.database import Store

    def script(job: TrialJob) -> Any:
        best = 1 + (job.number * 0.618) % 1
        return (yield from training(job, [best + 2, best, best + 1]))

    home.data(study.name).mkdir(parents=True, exist_ok=True)
    (home.data(study.name) / "split.csv").write_text("row,part\n")
    with Store.open(home.store) as store:
        enqueue(study, SUMMARY, store)
        connect = make_home_sink_factory(home.folder, {}, namespace=store.identity)
        delivery = OutboxDispatcher(store, connect, study=study.name)
        yield Supervisor(
            study, SUMMARY, home, store, FakeEngine(script, test_scores={}, others={"data": None}), delivery
        )


class InlineWorker:
    """An engine that runs each job in this process and tells of it bit by bit; see `engine.Engine`."""

    workers = 1

    def __init__(self) -> None:
        self._told: deque[Event] = deque()

    @property
    def idle(self) -> int:
        return 0 if self._told else 1

    @property
    def busy(self) -> Sequence[str]:
        return [self._told[-1].job] if self._told else []

    def warm(self, backend: str) -> None:
        """Do nothing: this process has what it has."""

    def submit(self, job: Job) -> None:
        from pipelines.engines.local_worker import _run

        assert job.backend == "tensorflow", "this process has one backend"
        kind, content = _run(job, _Told(job.name, self._told))
        self._told.append(Finished(job.name, content) if kind == "finished" else Failed(job.name, *content))

    def answer(self, job: str, message: Any) -> None:
        raise AssertionError("nothing is asked here")

    def stop(self, job: str) -> None:
        self._told.clear()

    def events(self, timeout_s: float) -> Sequence[Event]:
        return [self._told.popleft()] if self._told else []

    def close(self) -> None:
        """Do nothing: there are no workers."""


@dataclass(frozen=True)
class _Told:
    """A job's line to whoever asks for events later."""

    job: str
    told: deque[Event]

    def beat(self) -> None:
        """Nobody watches."""

    def report(self, message: Any) -> None:
        self.told.append(Reported(self.job, message))

    def ask(self, message: Any) -> bool:
        return False


def fill_up(home: Path, left_bytes: int) -> None:
    """Leave so many bytes free on the disk that a home is on."""
    with (home.parent / FILLER).open("wb", buffering=0) as filler:
        for chunk in (bytes(2**18), bytes(2**12)):
            with suppress(OSError):  # it is full
                while filler.write(chunk) == len(chunk):
                    pass
        filler.truncate(max(0, filler.tell() - left_bytes))


def free(home: Path) -> None:
    """Free what `fill_up` took."""
    (home.parent / FILLER).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
