"""Resources and limits of a study and of each of its trials: engine, workers, devices, time and memory."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.spec.section import Section
from pipelines.spec.units import Bytes, Seconds


class LimitsSpec(Section):
    """Limits of one trial: a trial beyond a limit fails with that reason, or is not trained."""

    trial_time: Seconds | None = Field(
        None, description='Longest training of one trial over all its attempts, such as "5m".'
    )
    data_time: Seconds | None = Field(None, description='Longest preparation of the data, such as "30m".')
    check_time: Seconds | None = Field(
        None,
        description='Longest trial of the smallest and the largest model before the search, such as "10m".',
    )
    memory: Bytes | None = Field(None, description='Most memory of one worker, such as "4GB".')
    parameters: int | None = Field(
        None,
        ge=1,
        description="Most weights of a model; a trial whose model has more is pruned before it is trained.",
    )
    model_memory: Bytes | None = Field(
        None,
        description='Largest estimate of the memory for training a model, such as "500MB"; a trial with a larger '
        "estimate is pruned before it is trained.",
    )
    attempts: int = Field(
        3,
        ge=1,
        le=100,
        description="Attempts at a trial whose worker dies, hangs or runs out of memory; an attempt continues from the "
        "last checkpoint.",
    )
    stall: Seconds = Field(120.0, description="A worker that reports no batch for this long counts as hanging.")


class ResourcesSpec(Section):
    """Resources of the study."""

    engine: Literal["local", "ray"] = Field(
        "local",
        description="Where trials are trained: `local` in processes of this machine, `ray` on the nodes of a Ray "
        'cluster, which needs `pip install "kerastudy[ray]"`.',
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="Address of the Ray cluster, such as head:6379, or `auto` for the one that runs on this machine. "
        "Left out, it is the value of RAY_ADDRESS, and without one Ray starts on this machine for this study.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Worker processes. Left out, as many as the GPUs or the Ray cluster have room for, else as many as "
        "there are cores.",
    )
    cpus: int = Field(1, ge=1, le=1024, description="Cores of each worker, and threads of its arithmetic, with Ray.")
    gpus: float | None = Field(
        None,
        ge=0,
        le=64,
        description="GPUs of each worker; less than one where workers share a GPU, such as 0.25; 0 for the CPU. Left "
        "out, each has one or as many as `devices`, and trials share it where their memory allows; with Ray, none.",
    )
    devices: Literal["all"] | Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Devices of its worker that one trial trains on, each with a share of every batch: a number, or "
        "`all`. Without GPUs the CPU is divided into as many, to try a study out.",
    )
    backend: Literal["tensorflow", "jax"] = Field(
        "tensorflow",
        description="Keras's backend for trials of the shipped families that train alone: `tensorflow`, or `jax`, "
        'which needs `pip install "kerastudy[jax]"`. Fleets run on JAX and user models on TensorFlow in any case.',
    )
    memory: Bytes | None = Field(
        None,
        description='Memory that Ray sets aside for each worker, such as "4GB"; `limits.memory` when left out.',
    )
    reconnect: Literal["off"] | Seconds = Field(
        3600.0,
        description="How long a study waits for a Ray cluster that was lost to come back, counted from the loss to the "
        "next epoch, before it is paused; `off` pauses it at once.",
    )
    fleet: Literal["auto", "off"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto",
        description="Training of many trials as one program: `auto` if it is expected to be faster, `off` never, a "
        "number for so many trials at a time in each worker.",
    )

    @field_validator("gpus")
    @classmethod
    def _check_gpus(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise ValueError(f"expected a share of one GPU or a whole number of GPUs, got {gpus:g}")
        return gpus

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.engine == "local":
            for key in ("address", "cpus", "memory", "reconnect"):
                if key in self.model_fields_set and getattr(self, key) is not None:
                    raise ValueError(f"expected {key} with engine: ray only; remove it, or set engine: ray")
        return self
