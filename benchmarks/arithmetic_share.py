"""Share of the machine's floating-point limit that each trainer reaches, by the size of network and data.

    .venv/bin/python benchmarks/arithmetic_share.py [--cases TEXT] [--what A,B] [--threads 1,2] [--runs N]
        [--epochs N] [--to FOLDER]

Operations are counted by formula: 2 for each multiplication with its addition in a layer's product, three products of
equal size for a training step (forward, gradient of the weights, gradient of the input; the first layer needs no
gradient of its input), one for validation. Borders of a convolution count as its middle. Activations, losses, metrics,
dropout and optimizers count nothing, and neither does what makes a batch: all of that shows as a share below one.

Two limits, both `float32`, with as many threads: `shapes`, the products of the same shapes one after the other, each by
the fastest of NumPy, TensorFlow and XLA; `peak`, the fastest product of 1,024 x 1,024 matrices. A convolution's product
is the one that im2col makes of it, without the copying.

Every measurement is a process of its own, alternated within a run: `fit` and `graph` on TensorFlow and `fleet` on JAX,
set up as a worker is; fleets train no convolutions. An epoch is the median of those after the second. With one thread
the seconds are those of the CPU, so that other work on the machine counts little; with more they are the clock's.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from pipelines.training.messages import RungDecision

HERE = Path(__file__).parent
LIMITS = ("numpy", "tensorflow", "xla")
TRAINERS = ("fit", "graph", "fleet")
MEMBERS = 4
Pairs: TypeAlias = list[tuple[Any, Any]]
_MOST_AT_ONCE, _FLOP_AT_ONCE = 16, 50e6
COLUMNS = ("run", "case", "what", "threads", "gflop", "seconds", "gflops", "of_shapes", "of_peak")


@dataclass(frozen=True)
class Product:
    """Matrix product [rows, inner] x [inner, columns]."""

    rows: int
    inner: int
    columns: int

    @property
    def flop(self) -> float:
        """Operations."""
        return 2.0 * self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Case:
    """Network and data.

    Attributes:
        shape: of a row; an image has three axes.
        units: of each hidden layer, or the filters of each convolution of 3 x 3 followed by pooling.
    """

    name: str
    shape: tuple[int] | tuple[int, int, int]
    units: tuple[int, ...]
    rows: int
    validation_rows: int
    batch_size: int
    classes: int = 2

    @property
    def family(self) -> str:
        """The model family that builds it."""
        return "mlp" if len(self.shape) == 1 else "cnn"

    @property
    def values(self) -> dict[str, Any]:
        """Its hyperparameters."""
        plain = {"activation": "relu", "optimizer": "adam", "learning_rate": 1e-3, "batch_size": self.batch_size}
        if self.family == "mlp":
            return {**plain, "depth": len(self.units), "units": self.units[0]}
        convolutions = {"kernel_size": 3, "convolutions_per_block": 1, "global_pooling": "flatten", "dense_units": 0}
        return {**plain, **convolutions, "blocks": len(self.units), "filters": self.units[0]}

    def list_products(self, rows: int) -> list[Product]:
        """Return the products of a forward pass over so many rows."""
        outputs, inputs, found = 1 if self.classes == 2 else self.classes, self.shape, []
        for units in self.units:
            if len(inputs) == 3:
                height, width, channels = inputs
                found.append(Product(rows * height * width, 9 * channels, units))
                inputs = (height // 2, width // 2, units)
            else:
                found.append(Product(rows, inputs[0], units))
                inputs = (units,)
        return [*found, Product(rows, int(np.prod(inputs)), outputs)]

    def list_step(self, rows: int) -> list[Product]:
        """Return the products of a training step."""
        forward = self.list_products(rows)
        of_weights = [Product(each.inner, each.rows, each.columns) for each in forward]
        of_inputs = [Product(each.rows, each.columns, each.inner) for each in forward[1:]]
        return [*forward, *of_weights, *of_inputs]

    def list_epoch(self) -> list[tuple[int, Product]]:
        """Return the products of an epoch with their numbers."""
        steps, rest = divmod(self.rows, self.batch_size)
        found = [(steps, each) for each in self.list_step(self.batch_size)]
        found += [(1, each) for each in self.list_step(rest)] if rest else []
        return found + [(1, each) for each in self.list_products(self.validation_rows)]

    @property
    def epoch_flop(self) -> float:
        """Operations of an epoch."""
        return sum(count * each.flop for count, each in self.list_epoch())


CASES = (
    Case("breast cancer, 2 x 64", (30,), (64, 64), 455, 114, 32),
    Case("Adult, 2 x 64", (108,), (64, 64), 26_048, 6_513, 256),
    Case("3 x 256, batches of 32", (108,), (256, 256, 256), 26_048, 6_513, 32),
    Case("3 x 256, batches of 256", (108,), (256, 256, 256), 26_048, 6_513, 256),
    Case("small CNN, 8 x 8", (8, 8, 1), (16, 16), 1_437, 360, 32, 10),
    Case("small CNN, 28 x 28", (28, 28, 1), (16, 16), 4_000, 1_000, 64, 10),
)
BY_NAME = {case.name: case for case in CASES}


def main() -> None:
    """Measure what is asked for and print the table."""
    options = _parse_options()
    if options.measure:
        print(json.dumps(_measure_here(*json.loads(options.measure))))
        return
    options.to.mkdir(parents=True, exist_ok=True)
    file = options.to / "arithmetic_share.csv"
    for run in range(options.runs):
        for case in (each for each in CASES if options.cases in each.name):
            for threads in map(int, options.threads.split(",")):
                rows = list(_measure_case(case, threads, options.what.split(","), options.epochs))
                _append(file, [{"run": run, **row} for row in rows])
    _print_table(file)


def _measure_case(case: Case, threads: int, what: list[str], epochs: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of one run of a case."""
    shapes: dict[str, list[float]] = {}
    peaks = []
    for library in LIMITS:
        found = _run_apart([case.name, library, threads, epochs])
        shapes[library] = found["seconds"]
        peaks.append(found["peak"])
    counts = [count for count, _ in case.list_epoch()]
    fastest = [min(each) for each in zip(*shapes.values(), strict=True)]
    limit_s = sum(count * seconds for count, seconds in zip(counts, fastest, strict=True))
    gflop = case.epoch_flop / 1e9
    peak = max(peaks)
    named = {"case": case.name, "threads": threads}
    yield {**named, **_describe("peak: 1,024 x 1,024", 2 * 1024**3 / 1e9, 2 * 1024**3 / 1e9 / peak, None, peak)}
    for library in LIMITS:
        seconds = sum(count * each for count, each in zip(counts, shapes[library], strict=True))
        yield {**named, **_describe(f"products: {library}", gflop, seconds, limit_s, peak)}
    for trainer in (each for each in what if each != "fleet" or case.family == "mlp"):
        measured = _run_apart([case.name, trainer, threads, epochs])
        seconds = measured["cpu_s"] if threads == 1 else measured["clock_s"]
        yield {**named, **_describe(trainer, gflop, seconds, limit_s, peak)}


def _describe(what: str, gflop: float, seconds: float, limit_s: float | None, peak: float) -> dict[str, Any]:
    share = f"{limit_s / seconds:.4f}" if limit_s is not None else ""
    rate = gflop / seconds
    print(f"    {what:<24}{rate:>10.2f} GFLOP/s {share:>10} {rate / peak:>8.4f}", flush=True)
    return {"what": what, "gflop": f"{gflop:.6f}", "seconds": f"{seconds:.6f}", "gflops": f"{rate:.3f}",
            "of_shapes": share, "of_peak": f"{rate / peak:.4f}"}  # fmt: skip


def _run_apart(measurement: list[Any]) -> Any:
    """Measure in a process of its own, which alone chooses a backend and a number of threads."""
    threads = str(measurement[2])
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--measure", json.dumps(measurement)]
    done = subprocess.run(command, env=environ, cwd=HERE.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


# In the process of a measurement --------------------------------------------------------------------------------


def _measure_here(name: str, what: str, threads: int, epochs: int) -> dict[str, Any]:
    sys.path.insert(0, str(HERE.parent))
    case = BY_NAME[name]
    if what == "numpy":
        return _measure_products(case, what, threads)
    backend = "jax" if what in ("xla", "fleet") else "tensorflow"
    _set_up(backend, threads)
    if what in LIMITS:
        return _measure_products(case, what, threads)
    clock = _EpochClock()
    (_train_fleet if what == "fleet" else _train_alone)(case, what, epochs, clock)
    members = MEMBERS if what == "fleet" else 1
    return {name: seconds / members for name, seconds in clock.medians().items()}


def _set_up(backend: str, threads: int) -> None:
    """Set a backend up as a worker does."""
    from pipelines.engines import local_worker

    importlib.import_module(f"pipelines.engines.preload.{backend}")
    if backend == "jax":
        local_worker._set_up_jax(threads, None, 1)
    else:
        local_worker._set_up_tensorflow(threads, 0, 1)


def _measure_products(case: Case, library: str, threads: int) -> dict[str, Any]:
    """Return the seconds of each product of an epoch, and the operations a second, in 10^9, of a large one."""
    make = {"numpy": _make_numpy_call, "tensorflow": _make_tensorflow_call, "xla": _make_xla_call}[library]
    clock = time.process_time if threads == 1 else time.perf_counter
    products, known = [each for _, each in case.list_epoch()], dict[Product, float]()
    random = np.random.default_rng(0)
    for each in [*products, large := Product(1024, 1024, 1024)]:
        if each not in known:
            # Several in one call, since a call from Python costs more than a small product.
            count = max(1, min(_MOST_AT_ONCE, int(_FLOP_AT_ONCE / each.flop)))
            pairs = [
                (
                    random.random((each.rows, each.inner), np.float32),
                    random.random((each.inner, each.columns), np.float32),
                )
                for _ in range(count)
            ]
            known[each] = _time_call(make(pairs), clock) / count
    return {"seconds": [known[each] for each in products], "peak": large.flop / 1e9 / known[large]}


def _time_call(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Return the seconds of a call: the shortest of five means, since other work only adds to it."""
    call()
    began = clock()
    call()
    count = max(1, int(0.02 / max(1e-7, clock() - began)))
    means = []
    for _ in range(5):
        began = clock()
        for _ in range(count):
            call()
        means.append((clock() - began) / count)
    return min(means)


def _make_numpy_call(pairs: Pairs) -> Callable[[], Any]:
    outs = [np.empty((a.shape[0], b.shape[1]), np.float32) for a, b in pairs]
    return lambda: [np.matmul(a, b, out=out) for (a, b), out in zip(pairs, outs, strict=True)]


def _make_tensorflow_call(pairs: Pairs) -> Callable[[], Any]:
    import tensorflow as tf

    given = [(tf.constant(a), tf.constant(b)) for a, b in pairs]
    call = tf.function(lambda pairs: [tf.matmul(a, b) for a, b in pairs])
    return lambda: [each.numpy() for each in call(given)[-1:]]


def _make_xla_call(pairs: Pairs) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    given = [(jnp.asarray(a), jnp.asarray(b)) for a, b in pairs]
    call = jax.jit(lambda pairs: [jnp.matmul(a, b) for a, b in pairs])
    return lambda: jax.block_until_ready(call(given))


@dataclass
class _EpochClock:
    """Listener of a training that notes the clock and the CPU time at the end of each epoch."""

    ends: list[tuple[float, float]] = field(default_factory=list)

    def record_batch(self) -> None:
        """Do nothing."""

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> RungDecision:
        """Note the time."""
        self.ends.append((time.perf_counter(), time.process_time()))
        return "go_on"

    def medians(self) -> dict[str, float]:
        """Return the median seconds of the epochs after the second."""
        pairs = list(zip(self.ends[1:], self.ends[2:], strict=False))
        clock_s, cpu_s = ([b[index] - a[index] for a, b in pairs] for index in (0, 1))
        return {"clock_s": statistics.median(clock_s), "cpu_s": statistics.median(cpu_s)}


def _make_parts(case: Case) -> tuple[Any, Any, Any]:
    """Return the features, the task and the rows of a case."""
    from pipelines.data.examples.examples import Examples
    from pipelines.data.prepared import Features, Task
    from pipelines.training.batches import Rows

    random = np.random.default_rng(0)

    def make_part(rows: int) -> Examples:
        x = random.normal(size=(rows, *case.shape)).astype(np.float32)
        y = random.integers(0, case.classes, rows).astype(np.int32)
        return Examples({"image" if case.family == "cnn" else "dense": x}, y, None)

    features = Features(dense=case.shape[0]) if len(case.shape) == 1 else Features(image=case.shape)
    kind: Literal["binary", "multiclass"] = "binary" if case.classes == 2 else "multiclass"
    task = Task(kind, ("y",), classes=tuple(map(str, range(case.classes))))
    return features, task, Rows(make_part(case.rows), make_part(case.validation_rows), None)


def _train_alone(case: Case, trainer: str, epochs: int, clock: _EpochClock) -> None:
    from pipelines.models.build import build_hypermodel
    from pipelines.models.context import ModelContext
    from pipelines.spec.schema import TrainingSpec
    from pipelines.training.fit_trainer import train_with_fit
    from pipelines.training.graph_trainer import train_in_graph
    from search_spaces.hyperparameters import TrialHyperParameters

    features, task, rows = _make_parts(case)
    context = ModelContext(features, task, TrainingSpec(early_stopping=None), case.rows, frozenset())
    model = build_hypermodel(case.family, context).build(TrialHyperParameters({**case.values, "epochs": epochs}))
    train = train_in_graph if trainer == "graph" else train_with_fit
    train(model, rows, _make_schedule(case, epochs), metric="val_loss", direction="minimize", listener=clock)


def _train_fleet(case: Case, _trainer: str, epochs: int, clock: _EpochClock) -> None:
    from pipelines.spec.schema import TrainingSpec
    from pipelines.training.fleet.envelope import find_envelope
    from pipelines.training.fleet.fleet import Fleet
    from pipelines.training.fleet.member import build_member
    from pipelines.training.fleet.program import Program

    features, task, rows = _make_parts(case)
    member = build_member({**case.values, "epochs": epochs}, frozenset())
    program = Program(find_envelope([member]), features, task, TrainingSpec(early_stopping=None), rows)
    fleet: Fleet[int] = Fleet(program, MEMBERS, metric="val_loss", direction="minimize")
    fleet.admit({index: (member, _make_schedule(case, epochs)) for index in range(MEMBERS)})
    for _ in range(epochs):
        fleet.train_epoch()
        clock.record_epoch(0, {})


def _make_schedule(case: Case, epochs: int) -> Any:
    from pipelines.training.schedule import Schedule

    return Schedule(epochs=epochs, batch_size=case.batch_size, patience=None, min_delta=0.0, seed=0)


# The table --------------------------------------------------------------------------------------------------------


def _append(file: Path, rows: list[dict[str, Any]]) -> None:
    is_new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def _print_table(file: Path) -> None:
    """Print the medians of all runs in a file, with the ranges of the shares."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            groups.setdefault((row["case"], row["threads"], row["what"]), []).append(row)
    print("\n| case | threads | | GFLOP/s | of its shapes' limit | of the peak |\n|---|---|---|---|---|---|")
    for (case, threads, what), rows in groups.items():
        cells = [case, threads, what, _format_median(rows, "gflops", ".1f")]
        cells += [_format_median(rows, name, ".0%") for name in ("of_shapes", "of_peak")]
        print(f"| {' | '.join(cells)} |")


def _format_median(rows: list[dict[str, str]], column: str, form: str) -> str:
    numbers = [float(row[column]) for row in rows if row[column]]
    if not numbers:
        return ""
    spread = f" ({min(numbers):{form}} to {max(numbers):{form}})" if len(numbers) > 1 else ""
    return f"{statistics.median(numbers):{form}}{spread}"


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default="", help="only cases whose name holds this text")
    parser.add_argument("--what", default=",".join(TRAINERS), help="trainers")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--to", type=Path, default=HERE / "results")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
