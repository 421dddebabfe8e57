"""Logs, metrics and readiness of the service, and its audit log."""
