"""One compiled program for every trial of an envelope: steps of training, and the scores of an epoch.

Each training step, with its gradients, its optimizer and its masks, is written for one member; `jax.vmap` makes it a
fleet's, `jax.lax.scan` makes many steps one call, and `jax.jit` compiles them once. The host says which rows make
which batch and what each step's learning rate is, so schedules and batch orders need no code here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import keras
import numpy as np

from pipelines.data.prepared import Features, Part, Task
from pipelines.models.losses import build_loss_with, build_metrics, takes_logits
from pipelines.models.objectives import loss_name
from pipelines.study_spec import TrainingSpec
from pipelines.training.batches import row_weights
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.layout import Layout
from pipelines.training.fleet.live import Live
from pipelines.training.fleet.network import Batch, Network, in_own_units
from pipelines.training.fleet.optimizing import Optimizers, clipped
from pipelines.training.trainer import Rows

Numbers: TypeAlias = Mapping[str, Any]
"""A member's numbers by name; see `numbers.Given`."""

_SCORED_AT_ONCE = 4096
_MOST_STEPS_AT_ONCE = 512
_WEIGHTS_AT_ONCE = 65536


class State(NamedTuple):
    """What changes with each step; every array begins with the member.

    Attributes:
        weights: [weight], see `Layout`.
        slots: the optimizer's vectors [weight]; scalars: its single numbers [number].
        moving: mean and variance of batch normalisation [2, layer, unit].
        average: the weights' moving average [weight]; one zero where none is kept.
        steps: optimizer steps done.
    """

    weights: Any
    slots: tuple[Any, ...]
    scalars: Any
    moving: Any
    average: Any
    steps: Any


class Seen(NamedTuple):
    """What an epoch leaves besides the state: the summed loss, and each training row's prediction [row, output]."""

    loss: Any
    predictions: Any


class Program:
    """The compiled functions of an envelope on one study's rows.

    Attributes:
        layout: of the members' weights.
        optimizers: the branches.
        steps: steps of an epoch of the member with the smallest batches.
        steps_at_once: of one call of `run`.
        run: (state, seen, numbers, plan) -> state, seen; does the steps of `plan`: the rows of each batch
            [member, step, place], where a place without a row says the number of rows, learning rates
            [member, step], and keys of random numbers [member, 2].
        score: (state, seen, numbers) -> state, metrics [member] by name; ends an epoch.
    """

    def __init__(self, envelope: Envelope, features: Features, task: Task, training: TrainingSpec, rows: Rows) -> None:
        self.envelope = envelope
        self.layout = Layout(envelope, features, task)
        self.optimizers = Optimizers(envelope.optimizers, self.layout.size)
        self.rows = rows.train.rows
        self.steps = math.ceil(self.rows / envelope.least_batch)
        self.steps_at_once = math.ceil(self.steps / math.ceil(self.steps / _MOST_STEPS_AT_ONCE))
        self._validation_rows = rows.validation.rows
        self._network = Network(envelope)
        self._task = task
        self._training = training
        self._metrics = build_metrics(task, training)
        _make_variables(self._metrics, task)
        self._empty = [[np.asarray(variable) for variable in metric.variables] for metric in self._metrics]
        self._chunk = min(self._validation_rows, _SCORED_AT_ONCE)
        # The empty row: places in a batch that hold no row point at it.
        self._train_data = _on_device(rows.train, 1, row_weights(rows))
        self._validation_data = _on_device(rows.validation, -self._validation_rows % self._chunk, None)
        self._compiled_run = jax.jit(self._over_members(self._run, 4), donate_argnums=(0, 1))
        self._compiled_score = jax.jit(self._over_members(self._score, 3), donate_argnums=(0,))

    def run(self, state: State, seen: Seen, numbers: Numbers, plan: Numbers) -> tuple[State, Seen]:
        """Do some steps; see the class."""
        done: tuple[State, Seen] = self._compiled_run(state, seen, numbers, plan, self._train_data)
        return done

    def score(self, state: State, seen: Seen, numbers: Numbers) -> tuple[State, dict[str, Any]]:
        """End an epoch; see the class."""
        y = self._train_data[2]
        done: tuple[State, dict[str, Any]] = self._compiled_score(state, seen, numbers, y, self._validation_data)
        return done

    def nothing_seen(self, members: int) -> Seen:
        """Return what an epoch begins with."""
        return Seen(jnp.zeros(members), jnp.zeros((members, self.rows + 1, self.layout.outputs)))

    def _over_members(self, function: Callable[..., Any], stacked: int) -> Callable[..., Any]:
        """Return a function of one member as one of all; its first `stacked` arguments begin with the member.

        An accelerator does all members at once. A CPU does as many at once as its cache holds: for narrow networks
        that shares the cost of each small operation, for wide ones there is nothing to share.
        """

        def over(*arguments: Any) -> Any:
            def one(of_member: Any) -> Any:
                return function(*of_member, *arguments[stacked:])

            members = len(jax.tree.leaves(arguments[0])[0])
            together = members
            if jax.default_backend() == "cpu":
                together = max(1, min(members, _WEIGHTS_AT_ONCE // self.layout.size))
            # Without a batch size each member runs by itself, and a switch costs only the branch that it takes.
            return jax.lax.map(one, arguments[:stacked], batch_size=together if together > 1 else None)

        return over

    # One member -----------------------------------------------------------------------------------------------

    def _run(self, state: State, seen: Seen, numbers: Numbers, plan: Numbers, data: Any) -> tuple[State, Seen]:
        def step(state: State, at: Numbers) -> tuple[State, tuple[Any, Any]]:
            after, loss, predictions = self._step(state, numbers, at["rows"], at["rate"], plan["key"], data)
            count = jnp.sum(at["rows"] < self.rows)
            if self._has_empty_steps:
                after = jax.tree.map(lambda new, old: jnp.where(count > 0, new, old), after, state)
            return after, (loss * count, predictions)

        state, (losses, predictions) = jax.lax.scan(step, state, {"rows": plan["rows"], "rate": plan["rates"]})
        loss = seen.loss + jnp.sum(losses)
        at = plan["rows"].reshape(-1)
        return state, Seen(loss, seen.predictions.at[at].set(predictions.reshape(len(at), -1)))

    @property
    def _has_empty_steps(self) -> bool:
        """Whether a member may have nothing to do in some step, as one with larger batches than another."""
        return self.envelope.least_batch != self.envelope.batch or self.steps % self.steps_at_once > 0

    def _step(
        self, state: State, numbers: Numbers, chosen: Any, rate: Any, key: Any, data: Any
    ) -> tuple[State, Any, Any]:
        x, codes, y, weights = (each[chosen] for each in data)
        rows = (chosen < self.rows).astype("float32")
        batch = Batch(rows, jax.random.fold_in(key, state.steps))

        def objective(tree: Numbers) -> Any:
            out, moving = self._network(tree, numbers, x, codes, state.moving, batch)
            predictions = self._predictions(out)
            weighted = self._loss(numbers, y, out, predictions) * weights
            loss = jnp.sum(jnp.where(rows > 0, weighted, 0.0)) / jnp.maximum(jnp.sum(rows), 1.0)
            return loss + self._penalty(tree, numbers), (predictions, moving)

        tree = self.layout.tree(state.weights)
        (loss, (predictions, moving)), gradients = jax.value_and_grad(objective, has_aux=True)(tree)
        if self.envelope.clipped:
            gradients = clipped(numbers, gradients)
        gradient = jnp.concatenate([gradients[name].reshape(-1) for name in self.layout.places])
        kept = (state.slots, state.scalars)
        weights, (slots, scalars) = self.optimizers.step(numbers, state.weights, gradient, rate, state.steps, kept)
        average = state.average
        if self.envelope.averaged:
            momentum = jnp.where(state.steps > 0, numbers["ema_momentum"], 0.0)
            average = momentum * average + (1.0 - momentum) * weights
        return State(weights, slots, scalars, moving, average, state.steps + 1), loss, predictions

    def _score(
        self, state: State, seen: Seen, numbers: Numbers, train_y: Any, validation: Any
    ) -> tuple[State, dict[str, Any]]:
        if self.envelope.averaged:
            state = state._replace(weights=jnp.where(numbers["averaged"], state.average, state.weights))
        tree = self.layout.tree(state.weights)
        x, codes, y, _ = validation

        def out_of(part: tuple[Any, Any]) -> Any:
            return self._network(tree, numbers, part[0], part[1], state.moving, None)[0]

        chunks = [part.reshape(len(x) // self._chunk, self._chunk, part.shape[1]) for part in (x, codes)]
        out = jax.lax.map(out_of, tuple(chunks)).reshape(-1, self.layout.outputs)[: self._validation_rows]
        y = y[: self._validation_rows]
        predictions = self._predictions(out)
        loss = jnp.mean(self._loss(numbers, y, out, predictions)) + self._penalty(tree, numbers)
        trained = self._measured(train_y[: self.rows], seen.predictions[: self.rows])
        validated = self._measured(y, predictions)
        metrics = {"loss": seen.loss / self.rows, **trained, "val_loss": loss}
        return state, metrics | {f"val_{name}": value for name, value in validated.items()}

    def _predictions(self, out: Any) -> Any:
        """Return what the stock model predicts [row, output]; see `layers.predict`."""
        if self._task.kind == "binary":
            return jax.nn.sigmoid(out)
        if self._task.kind == "multiclass":
            return jax.nn.softmax(out)
        return in_own_units(self._task, loss_name(self._task.kind, self._training), out)

    def _loss(self, numbers: Numbers, y: Any, out: Any, predictions: Any) -> Any:
        smoothing = Live(numbers["label_smoothing"]) if self.envelope.smoothing else 0.0
        # TensorFlow's Keras finds the logits behind probabilities by itself; here they are given.
        on_logits = takes_logits(self._task, self._training)
        loss = build_loss_with(self._task, self._training, smoothing, on_logits=on_logits)
        return loss.call(jnp.asarray(y, "float32"), out if on_logits else predictions)

    def _penalty(self, tree: Numbers, numbers: Numbers) -> Any:
        if not self.envelope.penalty:
            return 0.0
        kernels = [value for name, value in tree.items() if name.startswith("kernel_")]
        # JAX's derivative of |w| is 1 at w = 0, where TensorFlow's is 0 and masked weights must stay.
        absolute = sum(jnp.sum(kernel * jax.lax.stop_gradient(jnp.sign(kernel))) for kernel in kernels)
        squared = sum(jnp.sum(jnp.square(kernel)) for kernel in kernels)
        return numbers["l1"] * absolute + numbers["l2"] * squared

    def _measured(self, y: Any, predictions: Any) -> dict[str, Any]:
        found = {}
        for metric, empty in zip(self._metrics, self._empty, strict=True):
            state = metric.stateless_update_state(empty, y, predictions)
            found[metric.name] = jnp.mean(metric.stateless_result(state))
        return found


def _on_device(part: Part, further: int, weights: Any) -> tuple[Any, Any, Any, Any]:
    """Return x [row, column], codes, y and weights of a part's rows, followed by some empty ones."""
    plain = [np.asarray(part.x[name]).reshape(part.rows, -1) for name in ("dense", "image") if name in part.x]
    x = np.concatenate(plain, axis=1) if plain else np.zeros((part.rows, 0), np.float32)
    codes = np.asarray(part.x["codes"]) if "codes" in part.x else np.zeros((part.rows, 0), np.int32)
    weights = np.ones(part.rows, np.float32) if weights is None else weights
    return tuple(
        jnp.asarray(np.concatenate([array, np.zeros((further, *array.shape[1:]), array.dtype)]))
        for array in (x, codes, np.asarray(part.y), weights)
    )  # type: ignore[return-value]


def _make_variables(metrics: Sequence[keras.metrics.Metric], task: Task) -> None:
    """Make the variables of metrics that make them with their first batch."""
    y = np.zeros(2, np.int32) if task.classes else np.zeros((2, task.outputs), np.float32)
    for metric in metrics:
        if getattr(metric, "inner", metric).__dict__.get("_built", True):
            continue
        metric.update_state(y, np.full((2, task.outputs), 0.5, np.float32))
        metric.reset_state()
