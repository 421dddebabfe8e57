"""Compiled program for every trial of an envelope: steps of training, and the scores of an epoch.

Each training step, with its gradients, its optimizer and its masks, is written for one member; `jax.lax.map` applies it
to a fleet, `jax.lax.fori_loop` makes many steps one call, and `jax.jit` compiles them once. The host passes the rows of
each batch and the learning rate of each step, so schedules and batch orders need no code here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import keras
import numpy as np
import numpy.typing as npt

from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import Features, Task
from pipelines.data.scratch import iterate_chunks
from pipelines.models.losses import build_loss_with_smoothing, build_metrics, build_weighted_metrics, can_use_logits
from pipelines.models.objectives import resolve_loss
from pipelines.spec.schema import TrainingSpec
from pipelines.training.batches import Rows, compute_row_weights
from pipelines.training.fleet.compiling import CompiledFunction
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.layer import Batch
from pipelines.training.fleet.network import Network, rescale_predictions
from pipelines.training.fleet.optimizers import Optimizers, clip_gradients
from pipelines.training.fleet.steps import count_most_steps, count_step_rows
from pipelines.training.fleet.traced_number import TracedNumber
from pipelines.training.fleet.weight_layout import Layout

Numbers: TypeAlias = Mapping[str, Any]
"""A member's numbers by name; see `make_numbers`."""

_SCORE_ROWS = 4096  # chosen: bounds the memory of the layers' outputs
_SCORE_NUMBERS = 2**20  # the same for the patches of images: a processor's cache holds about as many
_MOST_STEPS_AT_ONCE = 512
_AT_ONCE_ON_A_CPU = 1
"""Members that a CPU trains at once: one by one, each runs only its own layers and branches."""


class State(NamedTuple):
    """State that changes with each step; the first axis of every array is the member.

    Attributes:
        weights: [weight], see `Layout`.
        slots: the optimizer's vectors [weight]; scalars: its single numbers [number].
        moving: mean and variance of batch normalisation [2, layer, unit].
        average: the weights' moving average [weight]; one zero where there is none.
        gradient: of the batch's steps so far [weight]; one zero where every step is a whole batch.
        steps: optimizer steps done.
    """

    weights: Any
    slots: tuple[Any, ...]
    scalars: Any
    moving: Any
    average: Any
    gradient: Any
    steps: Any


class EpochSums(NamedTuple):
    """Sums over an epoch: its loss, and the prediction of each training row [row, output]."""

    loss: Any
    predictions: Any


class Program:
    """Compiled functions of an envelope on the rows of one study.

    Attributes:
        layout: of the members' weights.
        optimizers: the branches.
        rows: number of training rows.
        step_rows: rows of a step.
        steps_at_once: most steps of one call of `run`.
        adds_up: whether a batch may take several steps.
        trains_at_once: whether members train at once, and not one after the other.
    """

    def __init__(self, envelope: Envelope, features: Features, task: Task, training: TrainingSpec, rows: Rows) -> None:
        # Studies of the same shape share what is compiled: it follows from these, and takes the rows as arguments.
        features, task, training = _hide_names(features), _hide_labels(task), _select_computed(training)
        self.envelope = envelope
        self.layout = Layout(envelope, features, task)
        self.optimizers = Optimizers(envelope.optimizers, {part.size for part in self.layout.parts})
        self.rows = rows.train.rows
        self.step_rows = count_step_rows(envelope)
        self.steps_at_once = min(_MOST_STEPS_AT_ONCE, count_most_steps(envelope, self.rows))
        self.adds_up = self.step_rows < envelope.batch
        self.trains_at_once = _count_at_once(2) > 1
        self._validation_rows = rows.validation.rows
        self._network = Network(envelope, features.image if envelope.has_blocks else None)
        self._task = task
        self._training = training
        self._metrics = _Metrics(build_metrics(task, training), task)
        self._weighted_metrics = _Metrics(build_weighted_metrics(task, training), task)
        self._chunk = min(self._validation_rows, _count_score_rows(envelope, features))
        # One empty row at the end: places in a batch without a row point at it.
        self._train_data = _put_on_device(rows.train, 1, compute_row_weights(rows))
        further = -self._validation_rows % self._chunk
        self._validation_data = _put_on_device(rows.validation, further, rows.validation.sample_weight)
        sizes = (self.rows, self._validation_rows, self._chunk, self.steps_at_once, _AT_ONCE_ON_A_CPU)
        shape = repr((envelope, features, task, training, sizes))
        self._compiled_run = CompiledFunction(self._run_all, (0, 1), shape)
        self._compiled_score = CompiledFunction(self._score_all, (0,), shape, called_seldom=True)
        self._has_begun = False

    def run(self, state: State, sums: EpochSums, numbers: Numbers, plan: Numbers) -> tuple[State, EpochSums]:
        """Do some steps of all members.

        The plan holds the number of `steps` of each member [member], the `key` of its random numbers [member, 2], and
        the arrays of `plan_epoch` for each step [member, `steps_at_once`, ...].
        """
        if not self._has_begun:
            # Beside the other program, which the call below compiles.
            self._has_begun = True
            self._compiled_score.begin(state, sums, numbers, self._train_data[2:], self._validation_data)
        done: tuple[State, EpochSums] = self._compiled_run(state, sums, numbers, plan, self._train_data)
        return done

    def score(self, state: State, sums: EpochSums, numbers: Numbers) -> tuple[State, dict[str, Any]]:
        """End an epoch; return the state and the metrics [member] by name."""
        targets = self._train_data[2:]
        done: tuple[State, dict[str, Any]] = self._compiled_score(state, sums, numbers, targets, self._validation_data)
        return done

    def start_epoch(self, members: int) -> EpochSums:
        """Return the sums at the start of an epoch."""
        # One more row: empty places write their prediction there.
        # NumPy's: JAX takes a tenth of a millisecond to make them, for each epoch.
        predictions = np.zeros((members, self.rows + 1, self.layout.outputs), np.float32)
        return EpochSums(np.zeros(members, np.float32), predictions)

    def _run_all(
        self, state: State, sums: EpochSums, numbers: Numbers, plan: Numbers, data: Any
    ) -> tuple[State, EpochSums]:
        # One bound for all where members run at once: with a bound for each, JAX would select the whole state in each
        # step.
        most = jnp.max(plan["steps"]) if _count_at_once(len(plan["steps"])) > 1 else None

        def one(of_member: Any) -> tuple[State, EpochSums]:
            state, sums, numbers, plan = of_member
            return self._run(state, sums, numbers, plan, plan["steps"] if most is None else most, data)

        done: tuple[State, EpochSums] = self._map_members(one, (state, sums, numbers, plan))
        return done

    def _score_all(
        self, state: State, sums: EpochSums, numbers: Numbers, targets: Any, validation: Any
    ) -> tuple[State, dict[str, Any]]:
        def one(of_member: Any) -> tuple[State, dict[str, Any]]:
            state, sums, numbers = of_member
            return self._score(state, sums, numbers, targets, validation)

        done: tuple[State, dict[str, Any]] = self._map_members(one, (state, sums, numbers))
        return done

    def _map_members(self, one: Callable[[Any], Any], members: Any) -> Any:
        """Apply a function of one member to all of them; an accelerator runs them at once."""
        together = _count_at_once(len(jax.tree.leaves(members)[0]))
        return jax.lax.map(one, members, batch_size=together if together > 1 else None)

    def _run(
        self, state: State, sums: EpochSums, numbers: Numbers, plan: Numbers, steps: Any, data: Any
    ) -> tuple[State, EpochSums]:
        def step(at: Any, done: tuple[State, EpochSums]) -> tuple[State, EpochSums]:
            its = {name: values[at] for name, values in plan.items() if name not in ("steps", "key")}
            return self._step(*done, numbers, its, plan["key"], data)

        state = self._map_vectors(self.layout.divide, state)
        state, sums = jax.lax.fori_loop(0, steps, step, (state, sums))
        return self._map_vectors(self.layout.unite, state), sums

    def _map_vectors(self, function: Callable[[Any], Any], state: State) -> State:
        """Apply a function to each vector of weights in a state."""
        return state._replace(
            weights=function(state.weights),
            slots=tuple(map(function, state.slots)),
            average=function(state.average) if self.envelope.averaged else state.average,
            gradient=function(state.gradient) if self.adds_up else state.gradient,
        )

    def _step(
        self, state: State, sums: EpochSums, numbers: Numbers, its: Numbers, key: Any, data: Any
    ) -> tuple[State, EpochSums]:
        chosen = its["rows"]
        x, codes, y, weights = (each[chosen] for each in data)
        rows = (chosen < self.rows).astype("float32")
        batch = Batch(rows, its["first"], jnp.append(key, state.steps.astype("uint32")))
        # 0 in the steps beyond a member's last.
        batch_rows = jnp.maximum(its["batch_rows"], 1.0)

        def objective(tree: Numbers) -> Any:
            out, moving = self._network(tree, numbers, x, codes, state.moving, batch)
            predictions = self._predict(out)
            weighted = self._compute_loss(numbers, y, out, predictions) * weights
            # `where` and no product: 0 times NaN is NaN.
            return jnp.sum(jnp.where(rows > 0, weighted, 0.0)) / batch_rows, (predictions, moving)

        tree = self.layout.name_arrays(state.weights)
        (loss, (predictions, moving)), gradients = jax.value_and_grad(objective, has_aux=True)(tree)
        gradient = self.layout.join_arrays(gradients)
        # A batch of several steps has one penalty.
        loss += its["last"] * self._compute_penalty(numbers, state.weights)
        if self.adds_up:
            gradient = jax.tree.map(jnp.add, state.gradient, gradient)

        def finish_batch() -> State:
            return self._update(state._replace(moving=moving), numbers, gradient, its["rate"])

        def continue_batch() -> State:
            return state._replace(gradient=gradient) if self.adds_up else state

        # As Keras: an epoch's loss weighs each batch by its rows.
        sums = EpochSums(sums.loss + loss * its["batch_rows"], sums.predictions.at[chosen].set(predictions))
        if self.adds_up or self.trains_at_once:
            return jax.lax.cond(its["last"], finish_batch, continue_batch), sums
        return finish_batch(), sums

    def _update(self, state: State, numbers: Numbers, gradient: Any, rate: Any) -> State:
        """Return the state after an optimizer step with a batch's gradient."""
        gradient = self._add_penalty_gradient(numbers, state.weights, gradient)
        if self.envelope.clipped:
            # By tensor, as Keras clips; in the vector all tensors would be one.
            gradient = self.layout.join_arrays(clip_gradients(numbers, self.layout.name_arrays(gradient)))
        optimizer_state = (state.slots, state.scalars)
        weights, (slots, scalars) = self.optimizers.step(
            numbers, state.weights, gradient, rate, state.steps, optimizer_state
        )
        average = state.average
        if self.envelope.averaged:
            # The average starts with the first step's weights, not with the initial ones.
            momentum = jnp.where(state.steps > 0, numbers["ema_momentum"], 0.0)
            average = jax.tree.map(lambda old, new: momentum * old + (1.0 - momentum) * new, average, weights)
        empty = jax.tree.map(jnp.zeros_like, state.gradient)
        return State(weights, slots, scalars, state.moving, average, empty, state.steps + 1)

    def _score(
        self, state: State, sums: EpochSums, numbers: Numbers, targets: Any, validation: Any
    ) -> tuple[State, dict[str, Any]]:
        if self.envelope.averaged:
            state = state._replace(weights=jnp.where(numbers["averaged"], state.average, state.weights))
        tree = self.layout.unflatten(state.weights)
        x, codes, y, weights = validation

        def out_of(part: tuple[Any, Any]) -> Any:
            return self._network(tree, numbers, part[0], part[1], state.moving, None)[0]

        chunks = [part.reshape(len(x) // self._chunk, self._chunk, part.shape[1]) for part in (x, codes)]
        out = jax.lax.map(out_of, tuple(chunks)).reshape(-1, self.layout.outputs)[: self._validation_rows]
        y, weights = y[: self._validation_rows], weights[: self._validation_rows]
        predictions = self._predict(out)
        loss = jnp.mean(self._compute_loss(numbers, y, out, predictions) * weights)
        loss += self._compute_penalty(numbers, self.layout.divide(state.weights))
        train_y, train_weights = (each[: self.rows] for each in targets)
        trained = self._compute_metrics(train_y, sums.predictions[: self.rows], train_weights)
        validated = self._compute_metrics(y, predictions, weights)
        metrics = {"loss": sums.loss / self.rows, **trained, "val_loss": loss}
        return state, metrics | {f"val_{name}": value for name, value in validated.items()}

    def _predict(self, out: Any) -> Any:
        """Return the predictions of the stock model [row, output]; see `layers.predict`."""
        if self._task.activation is not None:
            return getattr(jax.nn, self._task.activation)(out)
        return rescale_predictions(self._task, resolve_loss(self._task.kind, self._training), out)

    def _compute_loss(self, numbers: Numbers, y: Any, out: Any, predictions: Any) -> Any:
        smoothing = TracedNumber(numbers["label_smoothing"]) if self.envelope.smoothing else 0.0
        # Keras on TensorFlow recovers the logits of probabilities by itself; here they are passed.
        on_logits = can_use_logits(self._task, self._training)
        loss = build_loss_with_smoothing(self._task, self._training, smoothing, on_logits=on_logits)
        return loss.call(jnp.asarray(y, "float32"), out if on_logits else predictions)

    def _compute_penalty(self, numbers: Numbers, weights: Sequence[Any]) -> Any:
        """Return the penalty of the parts of the weights."""
        kernels = [each[: part.kernels] for part, each in zip(self.layout.parts, weights, strict=True) if part.kernels]
        penalty = numbers["l1"] * sum(jnp.sum(jnp.abs(each)) for each in kernels) if self.envelope.l1 else 0.0
        if self.envelope.l2:
            penalty += numbers["l2"] * sum(jnp.sum(jnp.square(each)) for each in kernels)
        return penalty

    def _add_penalty_gradient(self, numbers: Numbers, weights: Sequence[Any], gradient: Sequence[Any]) -> Any:
        """Return the parts of the gradient with the penalty's: in one pass, where JAX's needs some for each kernel."""
        if not (self.envelope.l1 or self.envelope.l2):
            return gradient
        found = []
        for part, each, of_loss in zip(self.layout.parts, weights, gradient, strict=True):
            # The derivative of |w| is 0 at w = 0, as TensorFlow's: masked weights must stay.
            of_penalty = numbers["l1"] * jnp.sign(each) if self.envelope.l1 else 0.0
            of_penalty += 2.0 * numbers["l2"] * each if self.envelope.l2 else 0.0
            if part.kernels < part.size:
                of_penalty = jnp.where(jnp.arange(part.size) < part.kernels, of_penalty, 0.0)
            found.append(of_loss + of_penalty)
        return tuple(found)

    def _compute_metrics(self, y: Any, predictions: Any, weights: Any) -> dict[str, Any]:
        return {
            **self._metrics.compute(y, predictions),
            **self._weighted_metrics.compute(y, predictions, sample_weight=weights),
        }


class _Metrics:
    """Metrics of the predictions of all rows of a part."""

    def __init__(self, metrics: Sequence[keras.metrics.Metric], task: Task) -> None:
        self._metrics = metrics
        _create_variables(metrics, task)
        self._empty = [[np.asarray(variable) for variable in metric.variables] for metric in metrics]

    def compute(self, *rows: Any, **weights: Any) -> dict[str, Any]:
        """Return the value of each metric by its name."""
        found = {}
        for metric, empty in zip(self._metrics, self._empty, strict=True):
            state = metric.stateless_update_state(empty, *rows, **weights)
            found[metric.name] = jnp.mean(metric.stateless_result(state))
        return found


def _hide_names(features: Features) -> Features:
    return replace(features, codes=tuple(("", size) for _, size in features.codes))


def _hide_labels(task: Task) -> Task:
    """Return a task without names and counts, which change from study to study: weights of classes are in the rows."""
    return replace(task, targets=("",) * len(task.targets), classes=("",) * len(task.classes), class_counts=())


def _select_computed(training: TrainingSpec) -> TrainingSpec:
    """Return the settings that decide what is computed."""
    return TrainingSpec(loss=training.loss, metrics=training.metrics, weighted_metrics=training.weighted_metrics)


def _count_score_rows(envelope: Envelope, features: Features) -> int:
    """Return the most rows that are scored at once."""
    if not envelope.has_blocks:
        return _SCORE_ROWS
    return max(1, min(_SCORE_ROWS, _SCORE_NUMBERS // envelope.count_patch_numbers(features.image or ())))


def _count_at_once(members: int) -> int:
    return min(members, _AT_ONCE_ON_A_CPU) if jax.default_backend() == "cpu" else members


def _put_on_device(part: Examples, further: int, weights: Any) -> tuple[Any, Any, Any, Any]:
    """Return x [row, column], codes, y and weights of a part's rows, followed by some empty ones."""
    # Not by `jnp.asarray`, which compiles a program for each shape.
    plain = [part.x[name] for name in ("dense", "image") if name in part.x]
    x = _join_columns(plain, part.rows, part.rows + further)
    codes = np.asarray(part.x["codes"]) if "codes" in part.x else np.zeros((part.rows, 0), np.int32)
    weights = np.ones(part.rows, np.float32) if weights is None else weights
    others = (
        np.concatenate([array, np.zeros((further, *array.shape[1:]), array.dtype)])
        for array in (codes, np.asarray(part.y), weights)
    )
    on_device: tuple[Any, Any, Any, Any] = tuple(map(jax.device_put, (x, *others)))
    return on_device


def _join_columns(arrays: Sequence[Any], rows: int, length: int) -> npt.NDArray[np.float32]:
    """Return the values of arrays beside each other [row, column], followed by empty rows up to a length."""
    widths = [int(np.prod(array.shape[1:])) for array in arrays]
    joined, first = np.zeros((length, sum(widths)), np.float32), 0
    for array, width in zip(arrays, widths, strict=True):
        # Some rows at a time: stored pictures become four times as large.
        for start, stop in iterate_chunks(rows, 4 * width):
            joined[start:stop, first : first + width] = np.asarray(array[start:stop]).reshape(stop - start, -1)
        first += width
    return joined


def _create_variables(metrics: Sequence[keras.metrics.Metric], task: Task) -> None:
    """Create the variables of metrics that create them with their first batch."""
    y = np.zeros(2, np.int32) if task.classes else np.zeros((2, task.outputs), np.float32)
    for metric in metrics:
        if getattr(metric, "inner", metric).__dict__.get("_built", True):
            continue
        metric.update_state(y, np.full((2, task.outputs), 0.5, np.float32))
        metric.reset_state()
