"""Connection of the outbox to MLflow, made when delivery starts: MLflow takes seconds to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tracking.mlflow import urls
from tracking.outbox.sink import RecordSink, SinkFactory
from tracking.store.model_digests import ModelDigests


def make_sink_factory(
    tracking_uri: str, *, namespace: str, artifact_root: str | None = None, digests: ModelDigests | None = None
) -> SinkFactory:
    """Return a function that connects to MLflow; nothing is imported or opened before it is called.

    Args:
        tracking_uri: see `tracking.mlflow.urls.resolve_tracking_uri`.
        namespace: the store's identity; part of every key in MLflow.
        artifact_root: see `tracking.mlflow.urls.resolve_artifact_root`; None where MLflow chooses.
        digests: gets the digests of the files of models.
    """

    def connect(check: Callable[[], None]) -> RecordSink:
        from tracking.mlflow.projection import MlflowProjection

        return MlflowProjection(
            tracking_uri, artifact_root=artifact_root, namespace=namespace, check=check, digests=digests
        )

    return connect


def make_home_sink_factory(
    home: Path, environ: Mapping[str, str], *, namespace: str, digests: ModelDigests | None = None
) -> SinkFactory:
    """Return a function that connects to the MLflow of a home; see `make_sink_factory`."""
    uri, artifact_root = urls.resolve_tracking_uri(home, environ), urls.resolve_artifact_root(home, environ)
    return make_sink_factory(uri, namespace=namespace, artifact_root=artifact_root, digests=digests)
