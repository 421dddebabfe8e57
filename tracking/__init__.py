"""What is kept and shown: the store, the outbox, and the MLflow projection of both."""
