"""The MLflow projection, registry and server."""
