"""Choice of the engine that a study's jobs run on."""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

from pipelines.data.reading.source_paths import CONFINED, is_confined
from pipelines.engines.base import Engine
from pipelines.engines.gpus.places import choose_gpus
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.ray_engine import RayEngine
from pipelines.engines.ray_messages import ClusterSettings, NodeSettings
from pipelines.operations.cluster_wait import ClusterWait
from pipelines.study.check_listener import CheckListener
from pipelines.study.study import Study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError

_ADDRESS = "RAY_ADDRESS"
_LOG = "ray.log"


def open_engine(study: Study, home: Home, listener: CheckListener, *, is_resumed: bool = False) -> Engine:
    """Return the engine that a study's `resources` name, with its workers started or about to start.

    Args:
        study: the study.
        home: the home that holds it.
        listener: follows the start of a cluster's workers.
        is_resumed: whether the study is resumed; then it waits for a cluster that is away (`resources.reconnect`).

    Raises:
        InputError: if this machine has fewer GPUs than a worker is to have.
        KerastudyError: if a cluster cannot be reached, or its nodes cannot run the jobs.
    """
    resources = study.spec.resources
    if resources.engine == "local":
        try:
            gpus = choose_gpus(resources.gpus, devices=resources.devices)
        except InputError as error:
            raise study.locate_problems(error) from None
        return LocalEngine(resources.workers, home.programs, user_code=study.has_user_model, gpus=gpus)
    listener.describe("starting workers on the Ray cluster")
    settings = _make_cluster_settings(study, home)
    if not is_resumed or settings.address is None or resources.reconnect == "off":
        return RayEngine(settings, listener.describe, listener.keep_alive)
    return make_cluster_wait(study, listener).connect(partial(RayEngine, settings, listener.describe))


def make_cluster_wait(study: Study, listener: CheckListener) -> ClusterWait:
    """Return the wait for a study's cluster before its search, as long as its `resources.reconnect` allows."""
    reconnect = study.spec.resources.reconnect
    return ClusterWait(None if reconnect == "off" else reconnect, listener)


def _make_cluster_settings(study: Study, home: Home) -> ClusterSettings:
    resources = study.spec.resources
    return ClusterSettings(
        address=resources.address or os.environ.get(_ADDRESS) or None,
        workers=resources.workers,
        cpus=resources.cpus,
        memory=resources.memory or study.spec.limits.memory,
        log=home.folder / _LOG,
        node=NodeSettings(
            version=version("kerastudy"),
            home=home.folder.resolve(),
            folder=Path.cwd(),
            search_path=tuple(sys.path),
            threads=resources.cpus,
            gpus=resources.gpus or 0.0,
            programs=home.programs,
            user_code=study.has_user_model,
            # A service's rules of paths and addresses hold on the nodes too, which other people may have started.
            variables=((CONFINED, "1"),) if is_confined() else (),
        ),
    )
