"""The outbox: records waiting for delivery to MLflow."""
