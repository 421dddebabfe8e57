"""Monitors of the service: what `/metrics` and `/readyz` answer."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.service.http.stream_limit import StreamLimit
from pipelines.service.monitoring.metrics import ServiceMetrics
from pipelines.service.monitoring.readiness import Check, Readiness, UpkeepClock, check_folder
from pipelines.service.monitoring.store_metrics import ServiceStateMetrics, StoreMetrics
from pipelines.service.studies.model_service import ModelService
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.workspace.home import Home
from tracking.mlflow.server import MlflowServer
from tracking.store.database import Store


@dataclass(frozen=True)
class Monitors:
    """Monitors of one service, and the clock of its upkeep."""

    metrics: ServiceMetrics
    readiness: Readiness
    upkeep: UpkeepClock


def make_monitors(
    home: Home,
    store: Store,
    supervisors: SupervisorPool,
    streams: StreamLimit,
    models: ModelService,
    mlflow: MlflowServer | None,
) -> Monitors:
    """Return the monitors of a service, whose MLflow server is None where it runs none."""
    upkeep = UpkeepClock()
    checks: dict[str, Check] = {
        "upkeep": upkeep.check,
        "supervisors": lambda: supervisors.start_error or check_folder(home.folder / "studies"),
    }
    if mlflow is not None:
        checks["mlflow"] = lambda: "" if mlflow.is_answering else "MLflow's UI does not answer yet, or has ended"
    readiness = Readiness(home, store, checks)
    state = ServiceStateMetrics(streams, models, readiness)
    return Monitors(ServiceMetrics(StoreMetrics(home, store, supervisors), state), readiness, upkeep)
