"""Store of studies, outbox, reports, and the projection to MLflow."""
