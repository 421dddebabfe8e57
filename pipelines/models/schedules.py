"""Learning rates over a training: Keras's schedules, counted in epochs, behind an optional warm-up."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
from keras import ops
from keras.optimizers import schedules

from pipelines.models.hyperparameter_requests import HyperparameterRequests
from pipelines.models.schedule_catalogue import SCHEDULES

Rate: TypeAlias = "float | schedules.LearningRateSchedule"


def build_schedule(requests: HyperparameterRequests, learning_rate: float, steps_per_epoch: int, epochs: int) -> Rate:
    """Return a number for a constant rate, else a schedule over the optimizer's steps."""
    name = requests.get_value("schedule")
    warmup_epochs = min(requests.get_value("warmup_epochs"), epochs)
    with requests.condition_on("schedule", name):
        values = {parameter: requests.get_value(parameter) for parameter in SCHEDULES[name]}
    epochs_left = max(1, epochs - warmup_epochs)
    rate: Rate = learning_rate
    if name != "constant":
        rate = _build_decay(name, values, learning_rate, epochs_left * steps_per_epoch, steps_per_epoch)
    return Warmup(rate, warmup_epochs * steps_per_epoch) if warmup_epochs else rate


# Registered, because the estimate of memory copies an optimizer by its configuration.
@keras.saving.register_keras_serializable(package="kerastudy")
class Warmup(schedules.LearningRateSchedule):  # type: ignore[misc]  # keras has no types
    """A linear rise from 0 over `steps`, followed by `after`, which starts at its step 0.

    Keras has a warm-up in `CosineDecay` alone. The first step has rate / steps, not 0, so that no step is wasted.
    """

    def __init__(self, after: Rate, steps: int) -> None:
        super().__init__()
        self.after = after
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`, counted from 0."""
        step = ops.cast(step, "float32")
        rising = self._compute_rate_after(ops.zeros_like(step)) * (step + 1) / self.steps
        # Both are computed, so the schedule behind the warm-up must not see a negative step.
        return ops.where(step < self.steps, rising, self._compute_rate_after(ops.maximum(step - self.steps, 0.0)))

    def _compute_rate_after(self, step: Any) -> Any:
        return self.after(step) if callable(self.after) else ops.cast(self.after, "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, serialised."""
        after = schedules.serialize(self.after) if callable(self.after) else self.after
        return {"after": after, "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Warmup:
        """Rebuild from `get_config`."""
        after = config["after"]
        return cls(schedules.deserialize(after) if isinstance(after, dict) else after, config["steps"])


def _build_decay(name: str, values: dict[str, Any], rate: float, total: int, steps_per_epoch: int) -> Rate:
    # Drops and restarts need several periods in a training; a smooth decay needs one.
    share = 3 if name in {"piecewise", "cosine_restarts"} else 1
    decay_steps = values["decay_epochs"] * steps_per_epoch or max(1, round(total / share))
    if name == "exponential":
        return schedules.ExponentialDecay(rate, decay_steps, values["decay_rate"])
    if name == "inverse_time":
        return schedules.InverseTimeDecay(rate, decay_steps, values["decay_rate"])
    if name == "piecewise":
        return _build_piecewise(rate, decay_steps, values["decay_rate"], total)
    if name == "cosine":
        return schedules.CosineDecay(rate, decay_steps, alpha=values["alpha"])
    if name == "cosine_restarts":
        return schedules.CosineDecayRestarts(
            rate, decay_steps, t_mul=values["t_mul"], m_mul=values["m_mul"], alpha=values["alpha"]
        )
    return schedules.PolynomialDecay(rate, decay_steps, end_learning_rate=rate * values["alpha"], power=values["power"])


def _build_piecewise(rate: float, decay_steps: int, decay_rate: float, total: int) -> Rate:
    # A boundary of Keras is the last step of its value; the drop must come at step k x decay_steps.
    boundaries = [step - 1 for step in range(decay_steps, total, decay_steps)]
    if not boundaries:
        return rate
    return schedules.PiecewiseConstantDecay(
        boundaries, [rate * decay_rate**drop for drop in range(len(boundaries) + 1)]
    )
